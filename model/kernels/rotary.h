/*
 * rotary - rotary position embedding (Su et al. 2021): pairs of a head's values are
 * turned by angles that grow with the token's position.
 *
 * Which values make a pair differs: neighbours (2j, 2j+1) in the FLUX transformers
 * (diffusers embeddings.py, apply_rotary_emb, use_real_unbind_dim -1), halves
 * (j, j + n/2) in Qwen3 (transformers, rotate_half).
 *
 * Threads: pure. Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_KERNELS_ROTARY_H
#define SLUICE_MODEL_KERNELS_ROTARY_H

#include <stddef.h>

/* One token's share of a table: cosine and sine of position * theta^(-2k / dimensions)
 * for k < dimensions / 2, computed in double. */
void rotary_angles(
    double position, double theta, size_t dimensions, float *cosine, float *sine);

enum rotary_pairs { ROTARY_NEIGHBOURS, ROTARY_HALVES };

/* Turns x, [tokens, heads, head_size] with `stride` floats from one token to the next.
 * cosine and sine are [tokens, head_size / 2]; elementwise.h has the function. */
struct rotary {
    enum rotary_pairs pairs;
    size_t tokens, heads, head_size, stride;
    const float *cosine, *sine;
    float *x;
};

#endif
