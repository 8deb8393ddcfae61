/*
 * autoencoder - turns a finished latent into pixels.
 *
 * Threads: several workers may be inside decode at once. Ownership: the implementation
 * owns everything behind `self`; arguments are borrowed for the call.
 */
#ifndef SLUICE_MODEL_AUTOENCODER_H
#define SLUICE_MODEL_AUTOENCODER_H

#include "model/run.h"

#include <stddef.h>

struct autoencoder {
    void *self;
    size_t channels; /* of a latent token */
    size_t patch;    /* pixels a side that one latent token becomes */

    /* latent is [height * width, channels] as the velocity's x; pixels becomes
     * [height * patch, width * patch, 3], about -1 to 1, not clamped. */
    enum err_code (*decode)(void *self,
                            const struct run *run,
                            const float *latent,
                            size_t height,
                            size_t width,
                            float *pixels,
                            struct err *err);

    /* Bytes of scratch that decode needs for a grid of height x width tokens. */
    size_t (*scratch)(void *self, size_t height, size_t width);

    void (*destroy)(void *self);
};

#endif
