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
    const char *ahead; /* while input i is used, ahead + i * ahead_step is asked for */
    size_t ahead_step;
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

/* Bytes of the pair behind the one in use that are asked for with every input of a tile,
 * so that all tiles together ask for all of it: panels come from the third-level cache or
 * from memory, and asking for more than a core has buffers for would hold it up. */
static inline size_t product_ahead_step(const struct product *p)
{
    enum { LEAST = 16 };
    size_t tiles = (p->rows + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    size_t width = PAIR * product_value_size(p->type);
    return p->pairs_ahead == 0 ? 0 : size_max((width + tiles - 1) / tiles, LEAST);
}

static inline void product_ask_ahead(const struct product_place *place, size_t input)
{
    enum { READ = 0, INTO_SECOND_LEVEL = 2 };
    if (place->ahead_step > 0)
        __builtin_prefetch(place->ahead + input * place->ahead_step, READ,
                           INTO_SECOND_LEVEL);
}

/* Pairs of panels outside, rows inside: a pair is read from memory once. */
static inline void product_over_tiles(const struct product *p, product_tile *tile)
{
    float sums[PRODUCT_ROWS * PAIR];
    size_t width = p->end == PRODUCT_GATED ? PANEL : PAIR;
    size_t pairs = p->outputs / width + (p->outputs % width != 0);
    size_t step = product_ahead_step(p);
    for (size_t pair = 0; pair < pairs; pair++) {
        const void *panels = product_panel(p, 2 * pair);
        bool is_half = p->end != PRODUCT_GATED && p->outputs - pair * PAIR <= PANEL;
        /* Sums that are the outputs go there directly. */
        size_t lanes = p->outputs - pair * width;
        bool is_plain = p->end == PRODUCT_STORE && p->bias == NULL &&
                        (lanes >= PAIR || lanes == PANEL);
        const char *ahead = NULL, *end = NULL; /* what is left to be asked for */
        if (pair + 1 < p->pairs_ahead) {
            ahead = product_panel(p, 2 * (pair + 1));
            end = product_panel(p, 2 * (pair + 2));
        }
        for (size_t first = 0; first < p->rows; first += PRODUCT_ROWS) {
            size_t rows = size_min(PRODUCT_ROWS, p->rows - first);
            struct product_place place = {.p = p,
                                          .in = p->in + first * p->in_stride,
                                          .panels = panels,
                                          .sums = sums,
                                          .sums_stride = PAIR};
            if (is_plain) {
                place.sums = p->out + first * p->out_stride + pair * PAIR;
                place.sums_stride = p->out_stride;
            }
            if (ahead < end) {
                place.ahead = ahead;
                place.ahead_step = step;
                ahead += step * p->inputs;
            }
            tile(rows, is_half ? 1 : 2, &place);
            if (!is_plain)
                product_finish(p, first, rows, pair, sums);
        }
    }
}

#endif
