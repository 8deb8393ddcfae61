/*
 * autoencoder - turns a finished latent into pixels.
 *
 * Threads: several workers may be inside decode at once. Ownership: what is behind
 * `self` belongs to a component (component.h); arguments are borrowed for the call.
 */
#ifndef SLUICE_MODEL_AUTOENCODER_H
#define SLUICE_MODEL_AUTOENCODER_H

#include "model/run.h"

#include <stddef.h>

/* A finished trajectory: [height * width, channels], in the order of the velocity's x. */
struct latent {
    const float *values;
    size_t height, width;
};

struct autoencoder {
    const void *self;
    size_t channels; /* of a latent token */
    size_t patch;    /* pixels a side that one latent token becomes */

    /* pixels becomes [height * patch, width * patch, 3], about -1 to 1, not clamped. */
    enum err_code (*decode)(const void *self,
                            const struct run *run,
                            const struct latent *latent,
                            float *pixels,
                            struct err *err);

    /* Bytes of scratch that decode needs for a grid of this many tokens. */
    size_t (*scratch)(const void *self, size_t latent_tokens);
};

#endif
