/*
 * draw - pseudo-random test data that is the same at every run (splitmix64: Steele, Lea
 * and Flood 2014).
 *
 * Threads: one at a time. Ownership: draw_floats returns memory that the caller frees.
 */
#ifndef SLUICE_TESTS_LIB_DRAW_H
#define SLUICE_TESTS_LIB_DRAW_H

#include "tests/check.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct draw {
    uint64_t state; /* any value is a seed */
};

static inline uint64_t draw_bits(struct draw *draw)
{
    uint64_t z = draw->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* 0 .. n - 1. */
static inline size_t draw_below(struct draw *draw, size_t n)
{
    CHECK(n > 0);
    return (size_t)(draw_bits(draw) % n);
}

/* -1 .. 1, all 24 bits of the mantissa in use. */
static inline float draw_float(struct draw *draw)
{
    return (float)(draw_bits(draw) >> 40) * 0x1p-23f - 1.0f;
}

/* n values of -1 .. 1, new; one more is allocated, so that n may be 0. */
static inline float *draw_floats(struct draw *draw, size_t n)
{
    float *values = malloc((n + 1) * sizeof(*values));
    CHECK(values != NULL);
    for (size_t i = 0; i < n; i++)
        values[i] = draw_float(draw);
    return values;
}

#endif
