/*
 * product_tiles - the loop over tiles that all instruction sets share: each gives the
 * function that fills one tile, and includes this with its own flags.
 *
 * A tile is up to PRODUCT_ROWS rows by a pair of panels, or by one where only one holds
 * outputs. Where something comes after the sums they are written to a buffer that stays
 * in the first-level cache, and from there to the output.
 *
 * Threads: pure. Ownership: none.
 */
#ifndef SLUICE_MODEL_KERNELS_PRODUCT_TILES_H
#define SLUICE_MODEL_KERNELS_PRODUCT_TILES_H

#include "base/size.h"
#include "model/kernels/half.h"
#include "model/kernels/product.h"
#include "model/kernels/product_end.h"

#include <stdbool.h>
#include <stdint.h>

enum { PRODUCT_ROWS = 12 };

/* Where a tile reads and writes: p's input from some row on, its panels from some pair
 * on, and its sums, [rows, PAIR]. */
struct product_place {
    const struct product *p;
    const float *in;
    const void *panels;
    float *sums;
    size_t sums_stride;
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

/* The pair behind this one is asked for while this one is in use, a share of it with
 * every tile: panels come from the third-level cache or from memory. */
static inline void product_ask_ahead(const struct product *p, size_t pair, size_t first)
{
    enum { LINE = 64, READ = 0, INTO_SECOND_LEVEL = 2 };
    size_t bytes = PAIR * p->inputs * product_value_size(p->type);
    size_t tiles = (p->rows + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    size_t share = (bytes / LINE / tiles + 1) * LINE, at = first / PRODUCT_ROWS * share;
    const char *next = product_panel(p, 2 * (pair + 1));
    for (size_t end = size_min(at + share, bytes); at < end; at += LINE)
        __builtin_prefetch(next + at, READ, INTO_SECOND_LEVEL);
}

/* Pairs of panels outside, rows inside: a pair is read from memory once. */
static inline void product_over_tiles(const struct product *p, product_tile *tile)
{
    float sums[PRODUCT_ROWS * PAIR];
    size_t width = p->end == PRODUCT_GATED ? PANEL : PAIR;
    size_t pairs = p->outputs / width + (p->outputs % width != 0);
    for (size_t pair = 0; pair < pairs; pair++) {
        const void *panels = product_panel(p, 2 * pair);
        bool is_half = p->end != PRODUCT_GATED && p->outputs - pair * PAIR <= PANEL;
        /* Sums that are the outputs go there directly. */
        size_t lanes = p->outputs - pair * width;
        bool is_plain = p->end == PRODUCT_STORE && p->bias == NULL &&
                        (lanes >= PAIR || lanes == PANEL);
        for (size_t first = 0; first < p->rows; first += PRODUCT_ROWS) {
            size_t rows = size_min(PRODUCT_ROWS, p->rows - first);
            struct product_place place = {p, p->in + first * p->in_stride, panels, sums,
                                          PAIR};
            if (is_plain) {
                place.sums = p->out + first * p->out_stride + pair * PAIR;
                place.sums_stride = p->out_stride;
            }
            if (pair + 1 < p->pairs_ahead)
                product_ask_ahead(p, pair, first);
            tile(rows, is_half ? 1 : 2, &place);
            if (!is_plain)
                product_finish(p, first, rows, pair, sums);
        }
    }
}

#endif
