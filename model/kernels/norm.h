/*
 * norm - the normalisations of the models: RMSNorm, LayerNorm with modulation, GroupNorm.
 *
 * Sums run in eight interleaved lanes, in the same order whatever the number of rows.
 *
 * Threads: pure. Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_KERNELS_NORM_H
#define SLUICE_MODEL_KERNELS_NORM_H

#include <stddef.h>

/* out[i] = in[i] / sqrt(mean(in^2) + epsilon) * weight[i], over each of `rows` rows of
 * n values that lie stride apart (Zhang and Sennrich 2019). in and out may be the same.
 */
struct norm_rms {
    size_t rows, n;
    size_t in_stride, out_stride;
    const float *in, *weight;
    float *out;
    float epsilon;
};
void norm_rms(const struct norm_rms *norm);

/* out = (1 + scale) LayerNorm(in) + shift, without weights of its own: how a diffusion
 * transformer lets the time steer a block (Peebles and Xie 2023, adaLN). in and out are
 * [rows, n]; scale and shift have n values. */
struct norm_modulated {
    size_t rows, n;
    const float *in, *scale, *shift;
    float *out;
    float epsilon;
};
void norm_modulated(const struct norm_modulated *norm);

/* GroupNorm over [pixels, channels] (Wu and He 2018): mean and variance of all pixels
 * of each of `groups` runs of channels; then weight and bias per channel. in and out may
 * be the same. */
struct norm_group {
    size_t pixels, channels, groups; /* groups divides channels */
    const float *in, *weight, *bias;
    float *out;
    float epsilon;
};
void norm_group(const struct norm_group *norm);

#endif
