/*
 * autoencoder_steps - the decoder of an autoencoder as a row of steps, each from one
 * feature map to the next.
 *
 * Source: diffusers, models/resnet.py (ResnetBlock2D, without time embedding),
 * models/attention_processor.py (Attention with group norm and residual, one head) and
 * models/upsampling.py (Upsample2D: nearest neighbour, then a convolution).
 *
 * Threads: pure, but for the caller's buffers. Ownership: all borrowed.
 */
#ifndef SLUICE_MODEL_AUTOENCODER_STEPS_H
#define SLUICE_MODEL_AUTOENCODER_STEPS_H

#include "base/arena.h"
#include "model/compute.h"
#include "model/weights.h"

#include <stdbool.h>
#include <stddef.h>

struct group_norm {
    const float *weight, *bias;
};

enum step_kind { STEP_RESNET, STEP_ATTENTION, STEP_UPSAMPLE };

struct autoencoder_step {
    enum step_kind kind;
    size_t in, out; /* channels */
    struct group_norm norm1, norm2;
    struct filter convolution1, convolution2; /* 3x3 */
    struct linear shortcut;                   /* 1x1 */
    struct linear q, k, v, to_out;
};

/* Feature maps are [height, width, channels]; `current` holds the one that a step reads
 * and the one it leaves. The maps change places. */
struct autoencoder_maps {
    float *current, *next, *spare;
    void *norm_room; /* of a GroupNorm */
    size_t height, width;
    struct compute_sizes unit; /* what the largest unit of work needs */
    size_t groups;             /* of every GroupNorm */
    const struct compute *compute;
};

/* Takes maps large enough for all the steps, from `pixels` pixels with `channels`
 * channels on, and fills in maps->unit. */
void autoencoder_maps_lay_out(const struct autoencoder_step *steps,
                              size_t n,
                              size_t pixels,
                              size_t channels,
                              struct arena *arena,
                              struct autoencoder_maps *maps);

void autoencoder_step_apply(const struct autoencoder_step *step,
                            struct autoencoder_maps *maps);

/* The pieces that also stand outside the row of steps: a 3x3 convolution of the current
 * map into out, a 1x1 convolution of the current map in place, and GroupNorm with SiLU of
 * the current map in place. */
void autoencoder_convolve(const struct filter *filter,
                          const struct autoencoder_maps *maps,
                          float *out);
void autoencoder_mix(const struct linear *kernel, struct autoencoder_maps *maps);
void autoencoder_normalise(const struct group_norm *norm,
                           size_t channels,
                           struct autoencoder_maps *maps);

/* The current map becomes the next. */
void autoencoder_maps_turn(struct autoencoder_maps *maps);

#endif
