/*
 * exponential - e^x in float32, the same bits whatever the instruction set.
 *
 * Written with explicit fused multiply-adds and without branches, so that a compiler may
 * make vectors of a loop over it and every lane still does what the scalar code does. The
 * error is below 1.5 units in the last place.
 *
 * Threads: pure. Ownership: none.
 */
#ifndef SLUICE_MODEL_KERNELS_EXPONENTIAL_H
#define SLUICE_MODEL_KERNELS_EXPONENTIAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Below -87.3 the result would be subnormal: such x count as -87.3; above 88.3 as 88.3.
 */
static inline float exponential(float x)
{
    /* Adding and taking away 1.5 x 2^23 rounds to an integer. */
    const float rounder = 12582912.0f;
    x = x < -87.3f ? -87.3f : x;
    x = x > 88.3f ? 88.3f : x;
    float k = fmaf(x, 0x1.715476p0f, rounder) - rounder;
    float r = fmaf(k, -0x1.62e4p-1f, x);
    r = fmaf(k, -0x1.7f7d1cp-20f, r);

    /* The Taylor series of e^r for |r| <= ln 2 / 2. */
    float sum = 1.0f / 5040.0f;
    sum = fmaf(sum, r, 1.0f / 720.0f);
    sum = fmaf(sum, r, 1.0f / 120.0f);
    sum = fmaf(sum, r, 1.0f / 24.0f);
    sum = fmaf(sum, r, 1.0f / 6.0f);
    sum = fmaf(sum, r, 0.5f);
    sum = fmaf(sum, r, 1.0f);
    sum = fmaf(sum, r, 1.0f);

    /* Times 2^k, by adding k to the exponent. */
    uint32_t bits;
    memcpy(&bits, &sum, sizeof(bits));
    bits += (uint32_t)(int32_t)k << 23;
    memcpy(&sum, &bits, sizeof(sum));
    return sum;
}

/* x / (1 + e^-x) (Elfwing et al. 2018). */
static inline float sigmoid_linear(float x)
{
    return x / (1.0f + exponential(-x));
}

#endif
