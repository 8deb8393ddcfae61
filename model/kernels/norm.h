/*
 * norm - the normalisations of the models: RMSNorm, LayerNorm with modulation, GroupNorm.
 *
 * What they compute is defined here; elementwise.h has the functions. Sums run in sixteen
 * interleaved lanes, in the same order whatever the number of rows and the instruction
 * set.
 *
 * Threads: plain values. Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_KERNELS_NORM_H
#define SLUICE_MODEL_KERNELS_NORM_H

#include <stdbool.h>
#include <stddef.h>

/* out[i] = in[i] / sqrt(mean(in^2) + epsilon) * weight[i], over `rows` rows of n values
 * that lie a stride apart (Zhang and Sennrich 2019). in and out may be the same. */
struct norm_rms {
    size_t rows, n;
    size_t in_stride, out_stride;
    const float *in, *weight;
    float *out;
    float epsilon;
};

/* out = (1 + scale) LayerNorm(in) + shift, without weights of its own: how a diffusion
 * transformer lets the time steer a block (Peebles and Xie 2023, adaLN). in and out are
 * [rows, n]; scale and shift have n values. */
struct norm_modulated {
    size_t rows, n;
    const float *in, *scale, *shift;
    float *out;
    float epsilon;
};

/* GroupNorm over [pixels, channels] (Wu and He 2018): mean and variance of all pixels
 * of each of `groups` runs of channels; then weight and bias per channel, then SiLU if
 * asked. in and out may be the same.
 *
 * In units of NORM_PIXELS pixels: each unit's sums, in double because a group of a large
 * picture has millions of values, are added up in the order of the units. */
enum { NORM_PIXELS = 256 };
struct norm_group {
    size_t pixels, channels, groups; /* groups divides channels */
    const float *in, *weight, *bias;
    float *out;
    float epsilon;
    bool silu;
};

static inline size_t norm_group_units(const struct norm_group *norm)
{
    return (norm->pixels + NORM_PIXELS - 1) / NORM_PIXELS;
}

/* Each unit has, for each channel, the sum of its values and that of their squares. */
static inline size_t norm_group_sums(const struct norm_group *norm)
{
    return 2 * norm->channels;
}

/* Each channel's mean, and what its distance from it is multiplied with. */
static inline size_t norm_group_factors(const struct norm_group *norm)
{
    return 2 * norm->channels;
}

#endif
