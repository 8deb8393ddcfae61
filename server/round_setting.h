/*
 * round_setting - what rounds need of the server, constant while a model is served.
 *
 * Threads: constant. Ownership: borrowed.
 */
#ifndef SLUICE_SERVER_ROUND_SETTING_H
#define SLUICE_SERVER_ROUND_SETTING_H

#include "model/bundle.h"

#include <stdbool.h>
#include <stddef.h>

struct round_setting {
    const struct bundle *bundle;
    const char *version; /* for the PNG's text */
    bool png_text;
    size_t scratch; /* bytes that a round may take */
};

#endif
