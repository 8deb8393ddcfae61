/*
 * flux2_blocks - the blocks of the FLUX.2 transformer, for a group of items at a time.
 *
 * Source: diffusers, models/transformers/transformer_flux2.py: Flux2TransformerBlock
 * (two streams, text and image, that meet in attention) and
 * Flux2SingleTransformerBlock (one stream, attention and feed-forward side by side).
 * Tokens stand in the order [text, image] throughout.
 *
 * Threads: pure, but for the item's own buffers. Ownership: all borrowed.
 */
#ifndef SLUICE_MODEL_FLUX2_BLOCKS_H
#define SLUICE_MODEL_FLUX2_BLOCKS_H

#include "base/arena.h"
#include "model/compute.h"

#include <stdbool.h>
#include <stddef.h>

/* Sizes that all blocks share. */
struct flux2_sizes {
    size_t heads, head_size;
    size_t width; /* D = heads * head_size */
    size_t mlp;   /* hidden size of the feed-forward layers */
    float epsilon;
};

/* One stream of a double block. */
struct flux2_stream {
    struct linear q, k, v, out;   /* [D, D] each */
    const float *q_norm, *k_norm; /* [head_size] */
    struct linear ff_in, ff_out;  /* gated: [2 mlp, D]; [D, mlp] */
};

struct flux2_double_block {
    struct flux2_stream image, text;
};

struct flux2_single_block {
    struct linear qkv, mlp;       /* one tensor: [3 D, D], gated: [2 mlp, D] */
    struct linear out;            /* [D, D + mlp]: of attention beside feed-forward */
    const float *q_norm, *k_norm; /* [head_size] */
};

/* One item between the blocks. The modulation vectors are slices of what the time
 * became: (shift, scale, gate) once or twice, D values each. */
struct flux2_item {
    size_t text_tokens, image_tokens;
    float *x; /* [text + image, D], the residual stream */
    const float *image_modulation, *text_modulation; /* 6 D each */
    const float *single_modulation;                  /* 3 D */
    float *cosine, *sine;                            /* [text + image, head_size / 2] */
};

/* Buffers that one block at a time works in, for groups of at most some tokens. */
struct flux2_work {
    float *normed; /* [tokens, D] */
    float *wide;   /* [tokens, the larger of 3 D and mlp] */
    float *joined; /* [tokens, D + mlp] */
};

/* Takes the buffers from the arena. */
void flux2_work_lay_out(const struct flux2_sizes *sizes,
                        size_t tokens,
                        struct arena *arena,
                        struct flux2_work *work);

/* Items that go through a block together: every layer is one product for all of them, and
 * yet gives each the bits that it gets alone. */
enum { FLUX2_GROUP_ITEMS = 16 };
struct flux2_group {
    const struct compute *compute;
    const struct flux2_sizes *sizes;
    const struct flux2_work *work;
    const struct flux2_item *items;
    size_t n;     /* at most FLUX2_GROUP_ITEMS */
    bool is_last; /* the last block: nobody will read the text's tokens behind it */
};

void flux2_double_block_apply(const struct flux2_group *group,
                              const struct flux2_double_block *block);

void flux2_single_block_apply(const struct flux2_group *group,
                              const struct flux2_single_block *block);

#endif
