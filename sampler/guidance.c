#include "sampler/guidance.h"

bool guidance_is_on(double scale)
{
    return scale > 1.0;
}

void guidance_combine(double scale,
                      float *restrict prompt,
                      const float *restrict negative,
                      size_t n)
{
    const float factor = (float)scale;
    for (size_t i = 0; i < n; i++)
        prompt[i] = negative[i] + factor * (prompt[i] - negative[i]);
}
