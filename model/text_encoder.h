/*
 * text_encoder - turns token ids into the context that the velocity is conditioned on.
 *
 * Threads: several workers may be inside encode at once. Ownership: what is behind
 * `self` belongs to a component (component.h); arguments are borrowed for the call.
 */
#ifndef SLUICE_MODEL_TEXT_ENCODER_H
#define SLUICE_MODEL_TEXT_ENCODER_H

#include "model/run.h"

#include <stddef.h>
#include <stdint.h>

/* A prompt as the tokenizer gives it. */
struct text_tokens {
    const uint32_t *ids;
    size_t n;    /* the model's text length */
    size_t used; /* of which the first `used` are text and the rest padding; at least 1 */
};

struct text_encoder {
    const void *self;
    size_t width;      /* floats a token in the context */
    size_t vocabulary; /* ids are below this */

    /* context becomes [tokens->n, width]. */
    enum err_code (*encode)(const void *self,
                            const struct run *run,
                            const struct text_tokens *tokens,
                            float *context,
                            struct err *err);

    /* Bytes of scratch that encode needs for n tokens. */
    size_t (*scratch)(const void *self, size_t n);
};

#endif
