/*
 * text_encoder - turns token ids into the context that the velocity is conditioned on.
 *
 * Threads: several workers may be inside encode at once. Ownership: the implementation
 * owns everything behind `self`; arguments are borrowed for the call.
 */
#ifndef SLUICE_MODEL_TEXT_ENCODER_H
#define SLUICE_MODEL_TEXT_ENCODER_H

#include "model/run.h"

#include <stddef.h>
#include <stdint.h>

struct text_encoder {
    void *self;
    size_t width; /* floats a token in the context */

    /* ids has n tokens, of which the first `used` are text and the rest padding.
     * context becomes [n, width]. */
    enum err_code (*encode)(void *self,
                            const struct run *run,
                            const uint32_t *ids,
                            size_t n,
                            size_t used,
                            float *context,
                            struct err *err);

    /* Bytes of scratch that encode needs for n tokens. */
    size_t (*scratch)(void *self, size_t n);

    void (*destroy)(void *self);
};

#endif
