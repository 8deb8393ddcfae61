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
 * Ownership: what is behind `self` belongs to a component (component.h); all pointers in
 * an item are borrowed for the call.
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

/* How much eval may be asked for at once, for sizing its scratch memory. */
struct velocity_load {
    size_t items;         /* of one call */
    size_t latent_tokens; /* of the largest item */
    size_t total_tokens;  /* latent tokens of all items together */
    size_t text_tokens;   /* of each item's condition */
};

struct velocity {
    const void *self;
    size_t channels;      /* of x and v */
    size_t context_width; /* that conditions must have */

    /* Evaluates n >= 1 items. ERR_CANCELED when run->stop was seen (v is then
     * undefined), ERR_NO_MEMORY when run->scratch is smaller than scratch() says. */
    enum err_code (*eval)(const void *self,
                          const struct run *run,
                          const struct velocity_item *items,
                          size_t n,
                          struct err *err);

    /* Bytes of scratch that eval needs for at most this load. */
    size_t (*scratch)(const void *self, const struct velocity_load *load);
};

#endif
