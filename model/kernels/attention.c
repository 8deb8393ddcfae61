#include "model/kernels/attention.h"

#include "base/size.h"
#include "model/kernels/matrix.h"

#include <math.h>
#include <string.h>

/* Queries are taken in blocks of this many, so that the scores of one block stay in
 * cache and memory does not grow with the square of the image. */
enum { QUERY_BLOCK = 64 };

size_t attention_scratch(size_t keys)
{
    return size_multiply(QUERY_BLOCK, keys);
}

/* The first n scores become weights that sum to 1; those behind become 0. */
static void softmax(float *scores, size_t n, size_t keys, float scale)
{
    float most = scores[0];
    for (size_t i = 1; i < n; i++)
        most = scores[i] > most ? scores[i] : most;

    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) {
        scores[i] = expf((scores[i] - most) * scale);
        sum += scores[i];
    }
    float inverse = 1.0f / sum;
    for (size_t i = 0; i < n; i++)
        scores[i] *= inverse;
    memset(scores + n, 0, (keys - n) * sizeof(*scores));
}

static void
apply_block(const struct attention *a, size_t head, size_t first, float *scores)
{
    size_t rows = size_min(QUERY_BLOCK, a->queries - first);
    size_t key_head = head / (a->heads / a->key_heads);
    struct matrix_product product = {
        .rows = rows,
        .inputs = a->head_size,
        .outputs = a->keys,
        .in = a->q + first * a->q_stride + head * a->head_size,
        .in_stride = a->q_stride,
        .weight = a->k + key_head * a->head_size,
        .weight_stride = a->k_stride,
        .out = scores,
        .out_stride = a->keys,
    };
    matrix_multiply(&product);

    float scale = 1.0f / sqrtf((float)a->head_size);
    for (size_t r = 0; r < rows; r++) {
        size_t visible = a->causal ? size_min(first + r + 1, a->valid_keys) : a->keys;
        softmax(scores + r * a->keys, visible, a->keys, scale);
    }

    product = (struct matrix_product){
        .rows = rows,
        .inputs = a->keys,
        .outputs = a->head_size,
        .in = scores,
        .in_stride = a->keys,
        .weight = a->v + key_head * a->head_size,
        .weight_stride = a->v_stride,
        .input_major = true,
        .out = a->out + first * a->out_stride + head * a->head_size,
        .out_stride = a->out_stride,
    };
    matrix_multiply(&product);
}

void attention_apply(const struct attention *a, float *scratch)
{
    for (size_t head = 0; head < a->heads; head++) {
        for (size_t first = 0; first < a->queries; first += QUERY_BLOCK)
            apply_block(a, head, first, scratch);
    }
}
