#include "model/kernels/peak.h"

#include <math.h>

double peak_scalar(size_t length, float *sink)
{
    /* Four lanes, of which a compiler may make a vector where every processor has one. */
    enum { LANES = 4, ALL = PEAK_CHAINS * LANES };
    float chains[ALL];
    for (size_t c = 0; c < ALL; c++)
        chains[c] = (float)c;
    for (size_t i = 0; i < length; i++) {
        for (size_t c = 0; c < ALL; c++)
            chains[c] = fmaf(chains[c], 0.999f, 0.5f);
    }
    *sink = 0.0f;
    for (size_t c = 0; c < ALL; c++)
        *sink += chains[c];
    return 2.0 * ALL * (double)length;
}
