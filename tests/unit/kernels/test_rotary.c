/* Rotation of pairs in the plane: angles, which values make a pair, and what a
 * rotation must leave alone. */
#include "model/kernels/kernels.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/each_kernels.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { HEAD = 24 };
static const enum rotary_pairs kinds[] = {ROTARY_NEIGHBOURS, ROTARY_HALVES};

static void test_angles(void)
{
    static const double thetas[] = {2000.0, 10000.0, 1e6};
    float cosine[64], sine[64];
    for (size_t i = 0; i < 3; i++) {
        for (size_t dimensions = 2; dimensions <= 128; dimensions += 14) {
            for (int position = 0; position < 600; position += 7) {
                rotary_angles(position, thetas[i], dimensions, cosine, sine);
                for (size_t k = 0; k < dimensions / 2; k++) {
                    const double angle =
                        position / pow(thetas[i], (double)(2 * k) / (double)dimensions);
                    CHECK(fabs((double)cosine[k] - cos(angle)) <= 1e-7);
                    CHECK(fabs((double)sine[k] - sin(angle)) <= 1e-7);
                }
            }
        }
    }
}

/* A case and its memory: a gap of 3 behind each token. */
struct work {
    struct rotary rotary;
    size_t n;
    float *x, *before, *cosine, *sine;
};

static struct work create(struct draw *draw, enum rotary_pairs pairs, bool at_origin)
{
    const size_t tokens = 1 + draw_below(draw, 9), heads = 1 + draw_below(draw, 4);
    const size_t head_size = 2 + 2 * draw_below(draw, 12);
    struct work work = {.rotary = {.pairs = pairs,
                                   .tokens = tokens,
                                   .heads = heads,
                                   .head_size = head_size,
                                   .stride = heads * head_size + 3}};
    work.n = tokens * work.rotary.stride;
    work.x = draw_floats(draw, work.n);
    work.before = draw_floats(draw, work.n);
    memcpy(work.before, work.x, work.n * sizeof(float));
    work.cosine = draw_floats(draw, tokens * head_size / 2);
    work.sine = draw_floats(draw, tokens * head_size / 2);
    for (size_t t = 0; t < tokens; t++)
        rotary_angles(at_origin ? 0.0 : (double)(3 * t + 1), 2000.0, head_size,
                      work.cosine + t * head_size / 2, work.sine + t * head_size / 2);
    work.rotary.x = work.x;
    work.rotary.cosine = work.cosine;
    work.rotary.sine = work.sine;
    return work;
}

static void finish(struct work *work)
{
    free(work->x);
    free(work->before);
    free(work->cosine);
    free(work->sine);
}

/* The two places in a head that pair j is made of. */
static void places_of(const struct rotary *rotary, size_t j, size_t places[2])
{
    if (rotary->pairs == ROTARY_NEIGHBOURS) {
        places[0] = 2 * j;
        places[1] = 2 * j + 1;
    } else {
        places[0] = j;
        places[1] = j + rotary->head_size / 2;
    }
}

static void expect_pair(const struct work *work, size_t token, size_t head, size_t j)
{
    const struct rotary *r = &work->rotary;
    const size_t start = token * r->stride + head * r->head_size;
    size_t places[2];
    places_of(r, j, places);
    const double angle =
        (double)(3 * token + 1) * pow(2000.0, -2.0 * (double)j / (double)r->head_size);
    const double x = (double)work->before[start + places[0]];
    const double y = (double)work->before[start + places[1]];
    CHECK(fabs((double)work->x[start + places[0]] - (x * cos(angle) - y * sin(angle))) <=
          5e-7);
    CHECK(fabs((double)work->x[start + places[1]] - (x * sin(angle) + y * cos(angle))) <=
          5e-7);
}

static void test_turns_pairs(const struct elementwise *each)
{
    struct draw draw = {1};
    for (size_t i = 0; i < 200; i++) {
        struct work work = create(&draw, kinds[i % 2], false);
        const struct rotary *r = &work.rotary;
        each->rotary(r);
        for (size_t t = 0; t < r->tokens; t++) {
            for (size_t k = 0; k < r->heads * r->head_size / 2; k++)
                expect_pair(&work, t, k / (r->head_size / 2), k % (r->head_size / 2));
            CHECK(memcmp(work.x + (t + 1) * r->stride - 3,
                         work.before + (t + 1) * r->stride - 3, 3 * sizeof(float)) == 0);
        }
        finish(&work);
    }
}

static void test_origin_is_the_identity(const struct elementwise *each)
{
    struct draw draw = {2};
    for (size_t i = 0; i < 50; i++) {
        struct work work = create(&draw, kinds[i % 2], true);
        each->rotary(&work.rotary);
        CHECK(memcmp(work.x, work.before, work.n * sizeof(float)) == 0);
        finish(&work);
    }
}

static double product(const float *a, const float *b)
{
    double sum = 0.0;
    for (size_t i = 0; i < HEAD; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* One head, to be turned by the angles of a position. */
struct head {
    enum rotary_pairs pairs;
    double position;
    float values[HEAD];
};

static void turn(const struct elementwise *each, struct head *head)
{
    float cosine[HEAD / 2], sine[HEAD / 2];
    rotary_angles(head->position, 2000.0, HEAD, cosine, sine);
    const struct rotary rotary = {head->pairs, 1,      1,    HEAD,
                                  HEAD,        cosine, sine, head->values};
    each->rotary(&rotary);
}

/* Lengths stay, and the product of a query and a key depends on their distance alone. */
static void test_only_distance_counts(const struct elementwise *each)
{
    struct draw draw = {3};
    for (size_t i = 0; i < 100; i++) {
        const double position = (double)draw_below(&draw, 500);
        const double distance = (double)draw_below(&draw, 50);
        struct head q = {.pairs = kinds[i % 2]}, k = {.pairs = kinds[i % 2]};
        for (size_t at = 0; at < HEAD; at++) {
            q.values[at] = draw_float(&draw);
            k.values[at] = draw_float(&draw);
        }
        struct head far_q = q, far_k = k;
        far_q.position = position;
        far_k.position = position + distance;
        k.position = distance;
        turn(each, &far_q);
        turn(each, &far_k);
        turn(each, &k);
        CHECK(fabs(product(far_q.values, far_q.values) - product(q.values, q.values)) <=
              2e-6);
        CHECK(fabs(product(far_q.values, far_k.values) - product(q.values, k.values)) <=
              2e-6);
    }
}

static void test_same_bits(const struct elementwise *each)
{
    struct draw draw = {4};
    for (size_t i = 0; i < 100; i++) {
        struct work work = create(&draw, kinds[i % 2], false);
        each->rotary(&work.rotary);
        work.rotary.x = work.before;
        elementwise_scalar.rotary(&work.rotary);
        CHECK(memcmp(work.x, work.before, work.n * sizeof(float)) == 0);
        finish(&work);
    }
}

static void test_all(const struct kernels *kernels)
{
    test_turns_pairs(kernels->each);
    test_origin_is_the_identity(kernels->each);
    test_only_distance_counts(kernels->each);
    test_same_bits(kernels->each);
}

int main(void)
{
    test_angles();
    each_kernels(test_all);
    return 0;
}
