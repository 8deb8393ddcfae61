/*
 * product_end - what comes after the sums of a product's tile, on the way to the output.
 *
 * Included by each instruction set's product with its own flags.
 *
 * Threads: pure. Ownership: none.
 */
#ifndef SLUICE_MODEL_KERNELS_PRODUCT_END_H
#define SLUICE_MODEL_KERNELS_PRODUCT_END_H

#include "base/size.h"
#include "model/kernels/exponential.h"
#include "model/kernels/product.h"

enum { PAIR = 2 * PANEL };

/* What comes after the sums of some rows. `lanes` is a constant where this is inlined for
 * whole tiles, so that the loops become vectors without ends. */
static inline __attribute__((always_inline)) void
product_finish_rows(const struct product *p,
                    size_t row,
                    size_t rows,
                    size_t output,
                    size_t lanes,
                    const float *restrict sums)
{
    const float *restrict bias = p->bias != NULL ? p->bias + output : NULL;
    const float *restrict gate = p->gate != NULL ? p->gate + output : NULL;
    for (size_t end = row + rows; row < end; row++, sums += PAIR) {
        float *restrict out = p->out + row * p->out_stride + output;
        if (p->end == PRODUCT_GATED) {
            for (size_t l = 0; l < lanes; l++)
                out[l] = sigmoid_linear(sums[l]) * sums[PANEL + l];
        } else if (p->end == PRODUCT_STORE) {
            for (size_t l = 0; l < lanes; l++)
                out[l] = bias != NULL ? sums[l] + bias[l] : sums[l];
        } else {
            for (size_t l = 0; l < lanes; l++) {
                float sum = bias != NULL ? sums[l] + bias[l] : sums[l];
                out[l] = gate != NULL ? fmaf(gate[l], sum, out[l]) : out[l] + sum;
            }
        }
    }
}

static inline void product_finish(
    const struct product *p, size_t first, size_t rows, size_t pair, const float *sums)
{
    size_t width = p->end == PRODUCT_GATED ? PANEL : PAIR;
    size_t output = pair * width, lanes = size_min(width, p->outputs - output);
    if (lanes == PAIR)
        product_finish_rows(p, first, rows, output, PAIR, sums);
    else if (lanes == PANEL)
        product_finish_rows(p, first, rows, output, PANEL, sums);
    else
        product_finish_rows(p, first, rows, output, lanes, sums);
}

#endif
