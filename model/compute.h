/*
 * compute - the layers that all models are made of, shared among whoever helps with the
 * call: what a model's forward pass is written in.
 *
 * Threads: the caller leads; see team.h. Ownership: all borrowed for the call. Each unit
 * takes scratch memory of at most compute_scratch() bytes, which the leader (behind what
 * it has taken) and every helper must have: where they are not there, the process ends.
 */
#ifndef SLUICE_MODEL_COMPUTE_H
#define SLUICE_MODEL_COMPUTE_H

#include "model/kernels/attention.h"
#include "model/kernels/convolution.h"
#include "model/linear.h"
#include "model/run.h"

#include <stddef.h>

struct compute {
    const struct kernels *kernels;
    const struct run *run;
};

/* What the largest unit needs, for sizing: attention over so many keys of so large heads,
 * convolutions of so many channels; 0 where there is none. */
struct compute_sizes {
    size_t keys, head_size;
    size_t channels;
};
size_t compute_scratch(const struct compute_sizes *sizes);

/* Whether all that was taken from the arena fitted, and the largest unit fits behind it:
 * else ERR_NO_MEMORY, which names what for. */
enum err_code compute_check_scratch(const struct compute_sizes *sizes,
                                    struct arena *arena,
                                    const char *what,
                                    struct err *err);

/* A layer and what it works on: n arrays of rows, of one item each, say. */
struct compute_layer {
    const struct linear *linear;
    const struct linear_rows *rows;
    size_t n;
};

/* Layers that do not depend on each other. */
void compute_layers(const struct compute *compute,
                    const struct compute_layer *layers,
                    size_t n);
void compute_linear(const struct compute *compute,
                    const struct linear *linear,
                    const struct linear_rows *rows);

/* Norms that do not depend on each other. */
void compute_norms(const struct compute *compute,
                   const struct norm_modulated *norms,
                   size_t n);

/* n attentions with equally many key heads. prepare (may be NULL) is called for each key
 * head of each before it is attended to: norms and rotation of that head. */
typedef void compute_head(const void *context, size_t i, size_t head);
struct compute_attention {
    const struct attention *attentions;
    size_t n;
    compute_head *prepare;
    const void *context;
};
void compute_attention(const struct compute *compute,
                       const struct compute_attention *work);

/* Memory that a GroupNorm needs: so many floats, as well aligned as doubles. */
size_t compute_group_norm_room(size_t pixels, size_t channels);
void compute_group_norm(const struct compute *compute,
                        const struct norm_group *norm,
                        void *room);

void compute_convolution(const struct compute *compute,
                         const struct convolution *convolution);

#endif
