/*
 * velocity - the one thing a generative flow is to the rest of the program: a function
 * v(x, t | condition), evaluated for a whole batch at once.
 *
 * On the straight path x(t) = (1 - t) image + t noise the velocity is dx/dt = noise -
 * image (Lipman et al., "Flow Matching for Generative Modeling", eq. 23, with time
 * running the other way). A model of another parametrisation is converted behind this
 * interface, never in front of it.
 *
 * Threads: several workers may be inside eval at once, each with its own run.
 * Ownership: the implementation owns everything behind `self`; all pointers in an item
 * are borrowed for the call.
 */
#ifndef SLUICE_MODEL_VELOCITY_H
#define SLUICE_MODEL_VELOCITY_H

#include "model/run.h"

#include <stddef.h>

/* What a prompt became: one row a text token. */
struct condition {
    size_t tokens, width;
    const float *context; /* [tokens, width] */
};

/* One velocity to compute. x and v are [height * width, channels], row by row of the
 * latent grid; t is in [0, 1]. An item's result does not depend on its neighbours. */
struct velocity_item {
    size_t height, width; /* of the latent grid, in tokens */
    float t;
    const float *x;
    const struct condition *condition;
    float *v;
};

struct velocity {
    void *self;
    size_t channels; /* of x and v */

    /* Evaluates n >= 1 items. ERR_CANCELED when run->stop was seen (v is then
     * undefined), ERR_NO_MEMORY when run->scratch is smaller than scratch() says. */
    enum err_code (*eval)(void *self,
                          const struct run *run,
                          const struct velocity_item *items,
                          size_t n,
                          struct err *err);

    /* Bytes of scratch that eval needs for items of at most this many latent tokens,
     * whatever their number. */
    size_t (*scratch)(void *self, size_t latent_tokens, size_t text_tokens);

    void (*destroy)(void *self);
};

#endif
