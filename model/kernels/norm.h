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
 * asked. in and out may be the same. */
enum { NORM_MAX_CHANNELS = 4096 };
struct norm_group {
    size_t pixels, channels, groups; /* groups divides channels, <= NORM_MAX_CHANNELS */
    const float *in, *weight, *bias;
    float *out;
    float epsilon;
    bool silu;
};

#endif
