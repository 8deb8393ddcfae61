#include "model/kernels/convolution.h"

#include "base/size.h"

#include <string.h>

enum {
    SIDE = 3,
    PIXEL_BLOCK = 48 /* a multiple of every tile's rows */
};

size_t convolution_scratch(size_t in_channels)
{
    return size_multiply(PIXEL_BLOCK * SIDE * SIDE, in_channels);
}

/* The SIDE x SIDE neighbourhood of output pixel (y, x), zeros beyond the border. */
static void lay_out_patch(const struct convolution *c, size_t y, size_t x, float *patch)
{
    size_t in_width = c->doubled ? c->width / 2 : c->width;
    size_t shift = c->doubled ? 1 : 0;
    for (size_t dy = 0; dy < SIDE; dy++) {
        for (size_t dx = 0; dx < SIDE; dx++, patch += c->in_channels) {
            /* One is added to both sides of the border test: sizes have no sign. */
            size_t row = y + dy, column = x + dx;
            if (row < 1 || row > c->height || column < 1 || column > c->width) {
                memset(patch, 0, c->in_channels * sizeof(*patch));
                continue;
            }
            size_t at = ((row - 1) >> shift) * in_width + ((column - 1) >> shift);
            memcpy(patch, c->in + at * c->in_channels, c->in_channels * sizeof(*patch));
        }
    }
}

size_t convolution_units(const struct convolution *c)
{
    return (c->height * c->width + PIXEL_BLOCK - 1) / PIXEL_BLOCK;
}

void convolution_apply_unit(const struct kernels *kernels,
                            const struct convolution *c,
                            size_t unit,
                            float *scratch)
{
    size_t patch = SIDE * SIDE * c->in_channels, first = unit * PIXEL_BLOCK;
    size_t rows = size_min(PIXEL_BLOCK, c->height * c->width - first);
    for (size_t r = 0; r < rows; r++)
        lay_out_patch(c, (first + r) / c->width, (first + r) % c->width,
                      scratch + r * patch);
    struct product product = {
        .rows = rows,
        .inputs = patch,
        .outputs = c->out_channels,
        .in = scratch,
        .in_stride = patch,
        .panels = c->panels,
        .type = c->type,
        .bias = c->bias,
        .out = c->out + first * c->out_channels,
        .out_stride = c->out_channels,
    };
    kernels->product(&product);
}

void convolution_apply(const struct kernels *kernels,
                       const struct convolution *c,
                       float *scratch)
{
    for (size_t unit = 0; unit < convolution_units(c); unit++)
        convolution_apply_unit(kernels, c, unit, scratch);
}
