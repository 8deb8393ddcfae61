/*
 * product_tiles - the loop over tiles that all instruction sets share: each gives the
 * function that fills one tile, and includes this with its own flags.
 *
 * A tile is up to PRODUCT_ROWS rows by a pair of panels, or by one where only one holds
 * outputs. Its sums are written to a buffer that stays in the first-level cache, and from
 * there to the output with what comes after the sum.
 *
 * Threads: pure. Ownership: none.
 */
#ifndef SLUICE_MODEL_KERNELS_PRODUCT_TILES_H
#define SLUICE_MODEL_KERNELS_PRODUCT_TILES_H

#include "base/size.h"
#include "model/kernels/exponential.h"
#include "model/kernels/half.h"
#include "model/kernels/product.h"

#include <stdbool.h>
#include <stdint.h>

enum { PRODUCT_ROWS = 12, PAIR = 2 * PANEL };

/* Where a tile reads and writes: p's input from some row on, its panels from some pair
 * on, and [rows, PAIR] sums. */
struct product_place {
    const struct product *p;
    const float *in;
    const void *panels;
    float *sums;
};

/* Fills the sums of 1 to PRODUCT_ROWS rows and 1 or 2 panels. */
typedef void
product_tile(size_t rows, size_t n_panels, const struct product_place *place);

/* The i-th panel, and its v-th value as float32. */
static inline const void *product_panel(const struct product *p, size_t i)
{
    const unsigned char *bytes = p->panels;
    return bytes + i * PANEL * p->inputs *
                       (p->type == PANEL_F32 ? sizeof(float) : sizeof(uint16_t));
}

static inline float product_value(enum panel_type type, const void *panel, size_t v)
{
    const float *wide = panel;
    const uint16_t *narrow = panel;
    switch (type) {
    case PANEL_F16:
        return half_from_binary16(narrow[v]);
    case PANEL_BF16:
        return half_from_brain(narrow[v]);
    case PANEL_F32:
        break;
    }
    return wide[v];
}

static inline void product_finish_store(
    const struct product *p, size_t row, size_t output, size_t lanes, const float *sums)
{
    float *out = p->out + row * p->out_stride + output;
    for (size_t l = 0; l < lanes; l++)
        out[l] = p->bias != NULL ? sums[l] + p->bias[output + l] : sums[l];
}

static inline void product_finish_add(
    const struct product *p, size_t row, size_t output, size_t lanes, const float *sums)
{
    float *out = p->out + row * p->out_stride + output;
    for (size_t l = 0; l < lanes; l++) {
        float sum = p->bias != NULL ? sums[l] + p->bias[output + l] : sums[l];
        out[l] = p->gate != NULL ? fmaf(p->gate[output + l], sum, out[l]) : out[l] + sum;
    }
}

static inline void product_finish_gated(
    const struct product *p, size_t row, size_t output, size_t lanes, const float *sums)
{
    float *out = p->out + row * p->out_stride + output;
    for (size_t l = 0; l < lanes; l++)
        out[l] = sigmoid_linear(sums[l]) * sums[PANEL + l];
}

static inline void product_finish(
    const struct product *p, size_t first, size_t rows, size_t pair, const float *sums)
{
    size_t width = p->end == PRODUCT_GATED ? PANEL : PAIR;
    size_t output = pair * width, lanes = size_min(width, p->outputs - output);
    for (size_t r = 0; r < rows; r++, sums += PAIR) {
        switch (p->end) {
        case PRODUCT_STORE:
            product_finish_store(p, first + r, output, lanes, sums);
            break;
        case PRODUCT_ADD:
            product_finish_add(p, first + r, output, lanes, sums);
            break;
        case PRODUCT_GATED:
            product_finish_gated(p, first + r, output, lanes, sums);
            break;
        }
    }
}

/* Pairs of panels outside, rows inside: a pair is read from memory once. */
static inline void product_over_tiles(const struct product *p, product_tile *tile)
{
    float sums[PRODUCT_ROWS * PAIR] = {0};
    size_t width = p->end == PRODUCT_GATED ? PANEL : PAIR;
    size_t pairs = p->outputs / width + (p->outputs % width != 0);
    for (size_t pair = 0; pair < pairs; pair++) {
        const void *panels = product_panel(p, 2 * pair);
        bool is_half = p->end != PRODUCT_GATED && p->outputs - pair * PAIR <= PANEL;
        for (size_t first = 0; first < p->rows; first += PRODUCT_ROWS) {
            size_t rows = size_min(PRODUCT_ROWS, p->rows - first);
            struct product_place place = {p, p->in + first * p->in_stride, panels, sums};
            tile(rows, is_half ? 1 : 2, &place);
            product_finish(p, first, rows, pair, sums);
        }
    }
}

#endif
