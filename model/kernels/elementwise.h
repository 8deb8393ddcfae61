/*
 * elementwise - the loops over values that stand between the products, as a table of
 * functions for one instruction set.
 *
 * There is one source, elementwise.c, compiled once for each; fused multiply-adds are
 * written out and nothing is reassociated, so that all give the same bits.
 *
 * Threads: constant tables of pure functions. Ownership: arrays are borrowed for the
 * call.
 */
#ifndef SLUICE_MODEL_KERNELS_ELEMENTWISE_H
#define SLUICE_MODEL_KERNELS_ELEMENTWISE_H

#include "model/kernels/norm.h"
#include "model/kernels/rotary.h"
#include "model/kernels/winograd.h"

#include <stddef.h>

struct elementwise {
    void (*norm_rms)(const struct norm_rms *norm);
    void (*norm_modulated)(const struct norm_modulated *norm);

    /* GroupNorm in three parts: a unit's sums, what they say of all, a unit's results. */
    void (*group_sums)(const struct norm_group *norm, size_t unit, double *sums);
    void (*group_factors)(const struct norm_group *norm,
                          const double *sums,
                          float *factors);
    void (*group_apply)(const struct norm_group *norm, size_t unit, const float *factors);

    void (*rotary)(const struct rotary *rotary);

    const struct winograd *winograd;

    /* scores[0 .. n-1] become e^(scale (score - largest)), and those up to `padded` 0;
     * n >= 1. Returns the sum, by which the caller divides what it makes of them. */
    float (*softmax)(float *scores, size_t n, size_t padded, float scale);

    /* x := silu(x) = x / (1 + e^-x). */
    void (*silu)(float *x, size_t n);

    /* gate := silu(gate) * up. */
    void (*gated)(float *gate, const float *up, size_t n);

    /* x := x + y. */
    void (*add)(float *x, const float *y, size_t n);
};

extern const struct elementwise elementwise_scalar, elementwise_avx2, elementwise_avx512;

#endif
