/*
 * attention - softmax(q kT / sqrt(head size)) v, head by head (Vaswani et al. 2017,
 * eq. 1), with fewer key heads than query heads where the model has it so (Ainslie et
 * al. 2023: query head h reads key head h / (heads / key_heads)).
 *
 * Scores exist for a block of queries at a time, which stays in cache.
 *
 * Threads: pure. Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_KERNELS_ATTENTION_H
#define SLUICE_MODEL_KERNELS_ATTENTION_H

#include "model/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>

/* q is [queries, heads, head_size], k and v [keys, key_heads, head_size], out like q;
 * strides count floats from one token to the next. */
struct attention {
    size_t queries, keys;
    size_t heads, key_heads, head_size;
    const float *q, *k, *v;
    size_t q_stride, k_stride, v_stride;
    float *out;
    size_t out_stride;

    /* Without `causal` every query sees all `keys`. With it query i sees the first
     * min(i + 1, valid_keys): later tokens and padding are hidden. */
    bool causal;
    size_t valid_keys; /* at least 1 when causal */
};

/* Floats of scratch that attention_apply needs. */
size_t attention_scratch(size_t keys, size_t head_size);

/* One key head with the query heads that read it; key heads are independent. */
void attention_apply_head(const struct kernels *kernels,
                          const struct attention *attention,
                          size_t key_head,
                          float *scratch);

/* All of them, one after the other. */
void attention_apply(const struct kernels *kernels,
                     const struct attention *attention,
                     float *scratch);

#endif
