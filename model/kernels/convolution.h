/*
 * convolution - 3x3 convolution with a border of zeros, over [height, width, channels].
 *
 * By Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016, section 4.1): tiles
 * of 2x2 outputs, whose 4x4 inputs and the kernel are each turned into 16 planes that are
 * multiplied one by one, as 16 products over many tiles; 4 multiplications an output
 * instead of 9. Nearest-neighbour doubling of the input is part of it: the middle columns
 * and rows of a tile's inputs are then the same, 7 of the planes are zero, and 9
 * products are left.
 *
 * Threads: pure. Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_KERNELS_CONVOLUTION_H
#define SLUICE_MODEL_KERNELS_CONVOLUTION_H

#include "model/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>

/* A kernel, transformed and packed. */
struct filter {
    size_t inputs, outputs; /* channels */
    bool doubled;           /* for doubled pictures */
    const float *panels, *bias;
};

struct convolution {
    size_t height, width; /* of the output */
    size_t in_channels, out_channels;
    bool doubled; /* the input is [height/2, width/2, ..], each pixel read as 2x2 */
    const float *in;
    const float *panels;   /* convolution_pack made them */
    const float *bias;     /* [out_channels] */
    const float *residual; /* added to the result, like out and apart from it; or NULL */
    float *out;            /* [height, width, out_channels] */
};

/* Floats that a packed kernel takes. */
size_t convolution_packed_size(size_t outputs, size_t inputs, bool doubled);

/* Transforms and packs weight, [outputs, inputs, 3, 3]; room holds outputs * inputs
 * floats. */
void convolution_pack(const float *weight,
                      size_t outputs,
                      size_t inputs,
                      bool doubled,
                      float *room,
                      float *panels);

/* Floats of scratch that a unit needs. */
size_t convolution_scratch(size_t in_channels, size_t out_channels);

/* The work in independent units, each some tiles. */
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
