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

#include <stddef.h>

struct elementwise {
    void (*norm_rms)(const struct norm_rms *norm);
    void (*norm_modulated)(const struct norm_modulated *norm);
    void (*norm_group)(const struct norm_group *norm);
    void (*rotary)(const struct rotary *rotary);

    /* scores[0 .. n-1] become e^(scale (score - largest)), divided by their sum; n >= 1.
     * Those up to `padded` become 0. */
    void (*softmax)(float *scores, size_t n, size_t padded, float scale);

    /* x := silu(x) = x / (1 + e^-x). */
    void (*silu)(float *x, size_t n);

    /* gate := silu(gate) * up. */
    void (*gated)(float *gate, const float *up, size_t n);

    /* x := x + y. */
    void (*add)(float *x, const float *y, size_t n);
};

extern const struct elementwise elementwise_scalar, elementwise_avx2, elementwise_avx512;

#endif
