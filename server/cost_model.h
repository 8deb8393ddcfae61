/*
 * cost_model - how long rounds take, learned from those that were done.
 *
 * A table of seconds a unit of size, by the round's work, whether somebody helped, the
 * size of an item (two classes an octave) and the items of the round (classes of a
 * factor of two). Each observation moves the cells that took part by the ratio of the
 * measured to the predicted time, so that rounds of mixed sizes teach as well. What was
 * never measured is taken from the nearest cell that was, in proportion to the size.
 *
 * Threads: one at a time. Ownership: a plain value; all zero knows nothing.
 */
#ifndef SLUICE_SERVER_COST_MODEL_H
#define SLUICE_SERVER_COST_MODEL_H

#include "server/batcher.h"

#include <stdbool.h>
#include <stddef.h>

enum { COST_SIZES = 48, COST_BATCHES = 7 };

struct cost_cell {
    double seconds; /* a unit of size */
    unsigned samples;
};

struct cost_model {
    /* [helped][size][batch] of each work */
    struct cost_cell cells[BATCHER_WORK_COUNT][2][COST_SIZES][COST_BATCHES];
};

/* Items of a round that have the same size: of a step the tokens of image and text, of a
 * decode those of the image, of an encode the text tokens that are not cached. */
struct cost_share {
    size_t size, items;
};

/* A round as the model sees it. */
struct cost_round {
    enum batcher_work work;
    bool helped; /* by a worker that was idle */
    const struct cost_share *shares;
    size_t n;
};

/* Seconds of the round; 0 when nothing of its work was ever measured. */
double cost_model_predict(const struct cost_model *model, const struct cost_round *round);

/* Seconds that one item of this size adds to a round of `batch` items. */
double cost_model_item(const struct cost_model *model,
                       enum batcher_work work,
                       bool helped,
                       size_t size,
                       size_t batch);

/* The round took so many seconds. */
void cost_model_observe(struct cost_model *model,
                        const struct cost_round *round,
                        double seconds);

#endif
