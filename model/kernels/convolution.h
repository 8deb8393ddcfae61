/*
 * convolution - 3x3 convolution with a border of zeros, over [height, width, channels].
 *
 * The neighbourhoods of a block of pixels are laid out as rows, few enough to stay in
 * cache, and multiplied with the packed kernel. Nearest-neighbour doubling of the input
 * is part of the addressing.
 *
 * Threads: pure. Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_KERNELS_CONVOLUTION_H
#define SLUICE_MODEL_KERNELS_CONVOLUTION_H

#include "model/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>

struct convolution {
    size_t height, width; /* of the output */
    size_t in_channels, out_channels;
    bool doubled; /* the input is [height/2, width/2, ..], each pixel read as 2x2 */
    enum panel_type type;
    const float *in;
    const void *panels; /* of [out_channels, 3, 3, in_channels], packed */
    const float *bias;  /* [out_channels] */
    float *out;         /* [height, width, out_channels] */
};

/* Floats of scratch that convolution_apply needs. */
size_t convolution_scratch(size_t in_channels);

/* The work in independent units, each a block of pixels. */
size_t convolution_units(const struct convolution *convolution);
void convolution_apply_unit(const struct kernels *kernels,
                            const struct convolution *convolution,
                            size_t unit,
                            float *scratch);

/* All of them, one after the other. */
void convolution_apply(const struct kernels *kernels,
                       const struct convolution *convolution,
                       float *scratch);

#endif
