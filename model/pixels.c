#include "model/pixels.h"

#include <math.h>

void pixels_to_bytes(const float *values, size_t n, uint8_t *bytes)
{
    for (size_t i = 0; i < n; i++) {
        float x = values[i] / 2.0f + 0.5f;
        x = x > 0.0f ? x : 0.0f; /* NaN too becomes black */
        x = x < 1.0f ? x : 1.0f;
        bytes[i] = (uint8_t)nearbyintf(x * 255.0f);
    }
}
