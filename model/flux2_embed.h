/*
 * flux2_embed - how the FLUX.2 transformer sees times and places.
 *
 * Threads: pure. Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_FLUX2_EMBED_H
#define SLUICE_MODEL_FLUX2_EMBED_H

#include "model/flux2_config.h"

#include <stddef.h>

/* embedding becomes [time_channels]. */
void flux2_embed_time(const struct flux2_config *config, float t, float *embedding);

/* The tokens of an item: text, then image, row by row. */
struct flux2_grid {
    size_t text, height, width;
};

/* The rotation angles of all tokens, [text + image, head_size / 2] each; room holds as
 * many floats as both. */
void flux2_embed_positions(const struct flux2_config *config,
                           const struct flux2_grid *grid,
                           float *room,
                           float *cosine,
                           float *sine);

#endif
