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

#ifdef __SSE__
#include <xmmintrin.h>
#endif

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

/* The pair behind this one is asked for while this one is in use, a share of it with
 * every tile: panels come from the third-level cache or from memory. */
static inline void product_ask_ahead(const struct product *p, size_t pair, size_t first)
{
#ifdef __SSE__
    enum { LINE = 64 };
    size_t bytes = PAIR * p->inputs * product_value_size(p->type);
    size_t tiles = (p->rows + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    size_t share = (bytes / LINE / tiles + 1) * LINE, at = first / PRODUCT_ROWS * share;
    const char *next = product_panel(p, 2 * (pair + 1));
    for (size_t end = size_min(at + share, bytes); at < end; at += LINE)
        _mm_prefetch(next + at, _MM_HINT_T1);
#else
    (void)p;
    (void)pair;
    (void)first;
#endif
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
            if (pair + 1 < pairs + p->pairs_behind)
                product_ask_ahead(p, pair, first);
            tile(rows, is_half ? 1 : 2, &place);
            product_finish(p, first, rows, pair, sums);
        }
    }
}

#endif
