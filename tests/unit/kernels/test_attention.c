/* Attention against its definition in double: masks, grouped heads, strides, blocks. */
#include "model/kernels/attention.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/each_kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MOST_KEYS = 131 };
static const float SENTINEL = -777.0f;

/* A case and the memory it lives in. */
struct work {
    struct attention attention;
    float *q, *k, *v, *out, *scratch;
};

/* Strides leave a gap behind each token; the scratch is as large as asked for. */
static struct work create(struct draw *draw, struct attention a, size_t gap)
{
    a.q_stride = a.heads * a.head_size + gap;
    a.k_stride = a.key_heads * a.head_size + 2 * gap;
    a.v_stride = a.key_heads * a.head_size + 3 * gap;
    a.out_stride = a.heads * a.head_size + gap;
    struct work work = {
        .q = draw_floats(draw, a.queries * a.q_stride),
        .k = draw_floats(draw, a.keys * a.k_stride),
        .v = draw_floats(draw, a.keys * a.v_stride),
        .out = draw_floats(draw, a.queries * a.out_stride),
        .scratch = malloc(attention_scratch(a.keys, a.head_size) * sizeof(float)),
    };
    CHECK(work.scratch != NULL);
    for (size_t i = 0; i < a.queries * a.out_stride; i++)
        work.out[i] = SENTINEL;
    a.q = work.q;
    a.k = work.k;
    a.v = work.v;
    a.out = work.out;
    work.attention = a;
    return work;
}

static void finish(struct work *work)
{
    free(work->q);
    free(work->k);
    free(work->v);
    free(work->out);
    free(work->scratch);
}

static double score(const struct attention *a, size_t query, size_t head, size_t key)
{
    const size_t group = a->heads / a->key_heads;
    const float *q = a->q + query * a->q_stride + head * a->head_size;
    const float *k = a->k + key * a->k_stride + head / group * a->head_size;
    double sum = 0.0;
    for (size_t i = 0; i < a->head_size; i++)
        sum += (double)q[i] * (double)k[i];
    return sum / sqrt((double)a->head_size);
}

/* The weights of the keys for one query and head. */
static void weigh(const struct attention *a, size_t query, size_t head, double *weights)
{
    double most = (double)-INFINITY, total = 0.0;
    for (size_t key = 0; key < a->keys; key++) {
        const bool is_hidden = a->causal && (key > query || key >= a->valid_keys);
        weights[key] = is_hidden ? (double)-INFINITY : score(a, query, head, key);
        most = fmax(most, weights[key]);
    }
    for (size_t key = 0; key < a->keys; key++)
        total += weights[key] = exp(weights[key] - most);
    for (size_t key = 0; key < a->keys; key++)
        weights[key] /= total;
}

static void expect_definition(const struct work *work, double allowed)
{
    const struct attention *a = &work->attention;
    double weights[MOST_KEYS];
    for (size_t at = 0; at < a->queries * a->out_stride; at++) {
        const size_t query = at / a->out_stride, head = at % a->out_stride / a->head_size;
        if (head >= a->heads) {
            CHECK(memcmp(&a->out[at], &SENTINEL, sizeof(SENTINEL)) == 0);
            continue;
        }
        const size_t i = at % a->out_stride % a->head_size;
        if (i == 0)
            weigh(a, query, head, weights);
        const size_t column = head / (a->heads / a->key_heads) * a->head_size + i;
        double sum = 0.0;
        for (size_t key = 0; key < a->keys; key++)
            sum += weights[key] * (double)a->v[key * a->v_stride + column];
        CHECK(fabs((double)a->out[at] - sum) <= allowed);
    }
}

static const struct attention cases[] = {
    {.queries = 1, .keys = 1, .heads = 1, .key_heads = 1, .head_size = 1},
    {.queries = 3, .keys = 5, .heads = 2, .key_heads = 2, .head_size = 7},
    {.queries = 63, .keys = 63, .heads = 3, .key_heads = 3, .head_size = 8},
    {.queries = 64, .keys = 17, .heads = 1, .key_heads = 1, .head_size = 13},
    {.queries = 65, .keys = 65, .heads = 5, .key_heads = 1, .head_size = 16},
    {.queries = 130, .keys = 131, .heads = 6, .key_heads = 2, .head_size = 24},
    {.queries = 11,
     .keys = 11,
     .heads = 4,
     .key_heads = 2,
     .head_size = 6,
     .causal = true,
     .valid_keys = 11},
    {.queries = 70,
     .keys = 70,
     .heads = 3,
     .key_heads = 1,
     .head_size = 8,
     .causal = true,
     .valid_keys = 9},
    {.queries = 129,
     .keys = 129,
     .heads = 2,
     .key_heads = 1,
     .head_size = 5,
     .causal = true,
     .valid_keys = 129},
    {.queries = 9,
     .keys = 9,
     .heads = 2,
     .key_heads = 2,
     .head_size = 4,
     .causal = true,
     .valid_keys = 1},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void test_definition(const struct kernels *kernels)
{
    struct draw draw = {1};
    for (size_t i = 0; i < CASES; i++) {
        for (size_t gap = 0; gap < 8; gap += 5) {
            struct work work = create(&draw, cases[i], gap);
            attention_apply(kernels, &work.attention, work.scratch);
            expect_definition(&work, 1e-6);
            finish(&work);
        }
    }
}

/* Scores of thousands do not overflow, and choose one key. */
static void test_large_scores(const struct kernels *kernels)
{
    struct draw draw = {2};
    for (size_t i = 0; i < CASES; i++) {
        struct work work = create(&draw, cases[i], 1);
        for (size_t k = 0; k < cases[i].queries * work.attention.q_stride; k++)
            work.q[k] *= 3000.0f;
        attention_apply(kernels, &work.attention, work.scratch);
        /* Rounding of a score of 3000 moves its weight by a few thousandths. */
        expect_definition(&work, 4e-3);
        finish(&work);
    }
}

/* Weights sum to 1: a value that all visible keys share comes out. */
static void test_constant_values(const struct kernels *kernels)
{
    struct draw draw = {3};
    for (size_t i = 0; i < CASES; i++) {
        struct work work = create(&draw, cases[i], 0);
        struct attention *a = &work.attention;
        for (size_t k = 0; k < a->keys * a->v_stride; k++)
            work.v[k] = 3.5f;
        attention_apply(kernels, a, work.scratch);
        for (size_t k = 0; k < a->queries * a->out_stride; k++)
            CHECK(fabs((double)a->out[k] - 3.5) <= 3.5 * 1e-6);
        finish(&work);
    }
}

/* What is hidden may be anything finite: the same bytes come out. */
static void test_hidden_keys(const struct kernels *kernels)
{
    struct draw draw = {4};
    for (size_t i = 0; i < CASES; i++) {
        if (!cases[i].causal)
            continue;
        struct work work = create(&draw, cases[i], 0);
        struct attention *a = &work.attention;
        const size_t bytes = a->queries * a->out_stride * sizeof(float);
        attention_apply(kernels, a, work.scratch);
        float *before = malloc(bytes);
        CHECK(before != NULL);
        memcpy(before, a->out, bytes);
        for (size_t key = a->valid_keys; key < a->keys; key++) {
            for (size_t k = 0; k < a->key_heads * a->head_size; k++) {
                work.k[key * a->k_stride + k] = 1e6f * draw_float(&draw);
                work.v[key * a->v_stride + k] = 1e6f * draw_float(&draw);
            }
        }
        attention_apply(kernels, a, work.scratch);
        CHECK(memcmp(before, a->out, bytes) == 0);
        /* The first query sees the first key only. */
        for (size_t k = 0; k < a->heads * a->head_size; k++) {
            const size_t head = k / a->head_size / (a->heads / a->key_heads);
            const float value = a->v[head * a->head_size + k % a->head_size];
            CHECK(fabsf(a->out[k] - value) <= 1e-6f);
        }
        free(before);
        finish(&work);
    }
}

static const struct kernels scalar = {"scalar", product_scalar, &elementwise_scalar};

/* All tables but OpenBLAS's: the same bits. */
static void test_same_bits(const struct kernels *kernels)
{
    struct draw draw = {5};
    for (size_t i = 0; i < CASES; i++) {
        struct work work = create(&draw, cases[i], 3);
        const size_t bytes = cases[i].queries * work.attention.out_stride * sizeof(float);
        float *expected = malloc(bytes);
        CHECK(expected != NULL);
        attention_apply(&scalar, &work.attention, work.scratch);
        memcpy(expected, work.out, bytes);
        attention_apply(kernels, &work.attention, work.scratch);
        CHECK(memcmp(expected, work.out, bytes) == 0);
        free(expected);
        finish(&work);
    }
}

static void test_all(const struct kernels *kernels)
{
    test_definition(kernels);
    test_large_scores(kernels);
    test_constant_values(kernels);
    test_hidden_keys(kernels);
    if (strcmp(kernels->name, "openblas") != 0)
        test_same_bits(kernels);
}

int main(void)
{
    each_kernels(test_all);
    CHECK(attention_scratch(SIZE_MAX, 8) == SIZE_MAX);
    CHECK(attention_scratch(8, SIZE_MAX) == SIZE_MAX);
    return 0;
}
