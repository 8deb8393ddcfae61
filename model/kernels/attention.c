#include "model/kernels/attention.h"

#include "base/size.h"

#include <math.h>

/* A multiple of every tile's rows, small enough that the scores of a block stay in cache.
 */
enum { QUERY_BLOCK = 48 };

/* Keys and values of one head, packed, and the scores of a block of queries. */
struct head {
    float *keys;   /* head_size inputs, a key an output */
    float *values; /* a key an input, head_size outputs */
    float *scores; /* [QUERY_BLOCK, width] */
    size_t width;  /* of a row of scores */
};

static size_t round_up(size_t n)
{
    return size_multiply(product_panels(n), PANEL);
}

size_t attention_scratch(size_t keys, size_t head_size)
{
    size_t packed = size_add(product_packed_size(keys, head_size),
                             product_packed_size(head_size, keys));
    return size_add(packed, size_multiply(QUERY_BLOCK, round_up(keys)));
}

static struct head lay_out(const struct attention *a, float *scratch)
{
    struct head head = {.keys = scratch, .width = round_up(a->keys)};
    head.values = head.keys + product_packed_size(a->keys, a->head_size);
    head.scores = head.values + product_packed_size(a->head_size, a->keys);
    return head;
}

/* A softmax's sum divides what was made of its powers: fewer values than there are keys.
 */
static void divide(float *x, size_t n, float sum)
{
    float inverse = 1.0f / sum;
    for (size_t i = 0; i < n; i++)
        x[i] *= inverse;
}

static void apply_block(const struct kernels *kernels,
                        const struct attention *a,
                        const struct head *head,
                        size_t at, /* where this query head begins in a token */
                        size_t first)
{
    size_t rows = size_min(QUERY_BLOCK, a->queries - first);
    struct product product = {
        .rows = rows,
        .inputs = a->head_size,
        .outputs = a->keys,
        .in = a->q + first * a->q_stride + at,
        .in_stride = a->q_stride,
        .panels = head->keys,
        .out = head->scores,
        .out_stride = head->width,
    };
    kernels->product(&product);

    float scale = 1.0f / sqrtf((float)a->head_size), sums[QUERY_BLOCK];
    for (size_t r = 0; r < rows; r++) {
        size_t visible = a->causal ? size_min(first + r + 1, a->valid_keys) : a->keys;
        sums[r] = kernels->each->softmax(head->scores + r * head->width, visible, a->keys,
                                         scale);
    }

    product = (struct product){
        .rows = rows,
        .inputs = a->keys,
        .outputs = a->head_size,
        .in = head->scores,
        .in_stride = head->width,
        .panels = head->values,
        .out = a->out + first * a->out_stride + at,
        .out_stride = a->out_stride,
    };
    kernels->product(&product);
    for (size_t r = 0; r < rows; r++)
        divide(product.out + r * a->out_stride, a->head_size, sums[r]);
}

void attention_apply_head(const struct kernels *kernels,
                          const struct attention *a,
                          size_t key_head,
                          float *scratch)
{
    struct head head = lay_out(a, scratch);
    size_t share = a->heads / a->key_heads; /* query heads a key head */
    size_t at = key_head * a->head_size;
    product_pack(a->k + at, a->k_stride, a->keys, a->head_size, head.keys);
    product_pack_columns(a->v + at, a->v_stride, a->head_size, a->keys, head.values);
    for (size_t h = key_head * share; h < (key_head + 1) * share; h++) {
        for (size_t first = 0; first < a->queries; first += QUERY_BLOCK)
            apply_block(kernels, a, &head, h * a->head_size, first);
    }
}

void attention_apply(const struct kernels *kernels,
                     const struct attention *a,
                     float *scratch)
{
    for (size_t h = 0; h < a->key_heads; h++)
        attention_apply_head(kernels, a, h, scratch);
}
