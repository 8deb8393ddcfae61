/*
 * flux2_config - the sizes of a FLUX.2 transformer, as its config.json gives them.
 *
 * Threads: pure. Ownership: plain values.
 */
#ifndef SLUICE_MODEL_FLUX2_CONFIG_H
#define SLUICE_MODEL_FLUX2_CONFIG_H

#include "base/err.h"
#include "model/flux2_blocks.h"

#include <stddef.h>

/* The position of a token has four coordinates: time, height, width, place in the text.
 */
enum { FLUX2_AXES = 4 };

struct flux2_config {
    struct flux2_sizes sizes;
    size_t channels, context_width, time_channels;
    size_t n_double, n_single;
    size_t axes[FLUX2_AXES]; /* dimensions of a head turned by each coordinate */
    double theta;
};

/* Reads <folder>/config.json and refuses what klein does not have, by name. */
enum err_code
flux2_config_read(struct flux2_config *out, const char *folder, struct err *err);

#endif
