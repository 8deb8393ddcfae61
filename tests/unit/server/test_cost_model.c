/* What the cost model says of machines whose true costs are known here. */
#include "server/cost_model.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <math.h>
#include <stdbool.h>

enum { MOST_SHARES = 16 };

/* A machine on which a round takes a fixed time and one for each unit of size. */
struct machine {
    double fixed, unit;
};

static double take(const struct machine *machine, const struct cost_round *round)
{
    double seconds = machine->fixed;
    for (size_t i = 0; i < round->n; i++)
        seconds +=
            machine->unit * (double)(round->shares[i].items * round->shares[i].size);
    return seconds;
}

static struct cost_round
round_of(enum batcher_work work, const struct cost_share *shares, size_t n)
{
    return (struct cost_round){.work = work, .shares = shares, .n = n};
}

static void
observe(struct cost_model *model, const struct cost_round *round, double seconds)
{
    cost_model_observe(model, round, seconds);
    double predicted = cost_model_predict(model, round);
    CHECK(isfinite(predicted) && predicted >= 0.0);
}

static bool is_near(double value, double expected, double tolerance)
{
    return fabs(value - expected) <= tolerance * expected;
}

static void test_nothing_known(void)
{
    static struct cost_model model;
    const struct cost_share share = {100, 2}, empty = {0, 3};
    struct cost_round round = round_of(BATCHER_STEP, &share, 1);
    CHECK(cost_model_predict(&model, &round) == 0.0);
    CHECK(cost_model_item(&model, BATCHER_STEP, true, 100, 1) == 0.0);
    /* Rounds without work, or that took no time, teach nothing that does harm. */
    round = round_of(BATCHER_STEP, &empty, 1);
    observe(&model, &round, 1.0);
    round.n = 0;
    observe(&model, &round, 1.0);
    round = round_of(BATCHER_STEP, &share, 1);
    observe(&model, &round, 0.0);
    observe(&model, &round, 3.0);
    for (int i = 0; i < 100; i++)
        observe(&model, &round, 3.0);
    CHECK(is_near(cost_model_predict(&model, &round), 3.0, 0.01));
}

/* One round tells all of its cell, and what was never measured follows in proportion. */
static void test_unknown_cells(void)
{
    static struct cost_model model;
    const struct cost_share known = {128, 1};
    const struct cost_round round = round_of(BATCHER_STEP, &known, 1);
    observe(&model, &round, 0.5);
    CHECK(is_near(cost_model_predict(&model, &round), 0.5, 1e-9));
    for (size_t size = 1; size < ((size_t)1 << 22); size = size * 5 / 3 + 1) {
        for (size_t batch = 1; batch <= 128; batch *= 2)
            CHECK(is_near(
                cost_model_item(&model, BATCHER_STEP, batch % 3 == 1, size, batch),
                0.5 / 128 * (double)size, 1e-9));
    }
    CHECK(cost_model_item(&model, BATCHER_DECODE, false, 128, 1) == 0.0);
    CHECK(cost_model_item(&model, BATCHER_ENCODE, false, 128, 1) == 0.0);
    CHECK(cost_model_item(&model, BATCHER_STEP, false, SIZE_MAX, SIZE_MAX) > 0.0);

    /* The nearest size is taken, and of one size rather another batch than another size.
     */
    const struct cost_share large = {4096, 1};
    const struct cost_round far = round_of(BATCHER_STEP, &large, 1);
    observe(&model, &far, 64.0);
    CHECK(is_near(cost_model_item(&model, BATCHER_STEP, false, 2048, 1), 32.0, 1e-9));
    CHECK(is_near(cost_model_item(&model, BATCHER_STEP, false, 130, 64), 0.5 / 128 * 130,
                  1e-9));
}

/* Two classes an octave have prices of their own. */
static void test_size_classes(void)
{
    static struct cost_model model;
    static const size_t sizes[] = {64, 96, 128};
    for (size_t i = 0; i < 3; i++) {
        const struct cost_share share = {sizes[i], 1};
        const struct cost_round round = round_of(BATCHER_STEP, &share, 1);
        for (int k = 0; k < 40; k++)
            observe(&model, &round, (double)(i + 1) * (double)sizes[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        double item = cost_model_item(&model, BATCHER_STEP, false, sizes[i] + 1, 1);
        CHECK(is_near(item, (double)(i + 1) * (double)(sizes[i] + 1), 0.02));
    }
}

/* Batches are cheaper an item: each class of batches learns its own price. */
static void test_batches(void)
{
    static struct cost_model model;
    const struct machine machine = {.fixed = 0.08, .unit = 1e-4};
    for (int lap = 0; lap < 4; lap++) {
        for (size_t items = 1; items <= 16; items *= 2) {
            const struct cost_share share = {96, items};
            const struct cost_round round = round_of(BATCHER_STEP, &share, 1);
            observe(&model, &round, take(&machine, &round));
        }
    }
    double before = HUGE_VAL;
    for (size_t items = 1; items <= 16; items *= 2) {
        const struct cost_share share = {96, items};
        const struct cost_round round = round_of(BATCHER_STEP, &share, 1);
        CHECK(is_near(cost_model_predict(&model, &round), take(&machine, &round), 1e-6));
        double item = cost_model_item(&model, BATCHER_STEP, false, 96, items);
        CHECK(item < before);
        before = item;
    }
}

/* Rounds of mixed sizes on a machine without fixed costs. The order of the shares is that
 * of who is due, so that the same size stands at several places. */
static void test_mixed_sizes(void)
{
    static struct cost_model model;
    const struct machine machine = {.unit = 1e-3};
    static const size_t sizes[] = {17, 90, 400, 3000};
    struct draw draw = {3};
    for (int i = 0; i < 60; i++) {
        struct cost_share shares[MOST_SHARES];
        size_t n = 1 + draw_below(&draw, 8);
        for (size_t k = 0; k < n; k++)
            shares[k] = (struct cost_share){sizes[draw_below(&draw, 4)],
                                            1 + draw_below(&draw, 2)};
        const struct cost_round round = round_of(BATCHER_STEP, shares, n);
        observe(&model, &round, take(&machine, &round));
        /* The first round knows nothing but its own time; then each cell is right. */
        CHECK(is_near(cost_model_predict(&model, &round), take(&machine, &round), 1e-6));
    }
}

/* One round moves all of its cells by the same ratio, once each: also the cell of a size
 * that is there twice, and one that was not known and is believed to be as its
 * neighbour. */
static void test_mixed_round_moves_once(void)
{
    static struct cost_model model;
    const struct cost_share first = {64, 1},
                            shares[] = {{64, 1}, {256, 1}, {64, 1}, {1024, 1}};
    const struct cost_round one = round_of(BATCHER_STEP, &first, 1),
                            mixed = round_of(BATCHER_STEP, shares, 4);
    observe(&model, &one, 0.064);
    double predicted = cost_model_predict(&model, &mixed);
    CHECK(is_near(predicted, 1.408, 1e-9));
    observe(&model, &mixed, 2.0 * predicted);
    CHECK(is_near(cost_model_predict(&model, &mixed), 2.0 * predicted, 1e-9));
    for (size_t i = 0; i < 4; i++)
        CHECK(is_near(cost_model_item(&model, BATCHER_STEP, false, shares[i].size, 4),
                      2e-3 * (double)shares[i].size, 1e-9));
    /* A share of no size does not spoil the others' round. */
    const struct cost_share with_none[] = {{0, 1}, {64, 1}};
    const struct cost_round odd = round_of(BATCHER_STEP, with_none, 2);
    observe(&model, &odd, 0.2);
    CHECK(isfinite(cost_model_item(&model, BATCHER_STEP, false, 1, 2)));
}

/* The machine becomes twice as slow: the model follows within a few rounds. */
static void test_follows(void)
{
    static struct cost_model model;
    const struct cost_share share = {79, 4};
    const struct cost_round round = round_of(BATCHER_STEP, &share, 1);
    for (int i = 0; i < 100; i++)
        observe(&model, &round, 0.1);
    for (int i = 0; i < 20; i++)
        observe(&model, &round, 0.2);
    CHECK(is_near(cost_model_predict(&model, &round), 0.2, 0.05));
    for (int i = 0; i < 20; i++)
        observe(&model, &round, 0.1);
    CHECK(is_near(cost_model_predict(&model, &round), 0.1, 0.08));
}

/* One round that was disturbed, by however much, moves what is settled by less than a
 * half; and with noise the model stays near the mean. */
static void test_outliers(void)
{
    static struct cost_model model;
    const struct cost_share share = {79, 4};
    const struct cost_round round = round_of(BATCHER_STEP, &share, 1);
    struct draw draw = {11};
    for (int i = 0; i < 10; i++)
        observe(&model, &round, 0.1);
    observe(&model, &round, 1e6);
    CHECK(cost_model_predict(&model, &round) < 0.15);
    CHECK(cost_model_predict(&model, &round) > 0.1);
    for (int i = 0; i < 40; i++)
        observe(&model, &round, 0.1);
    observe(&model, &round, 1e-9);
    CHECK(is_near(cost_model_predict(&model, &round), 0.0875, 0.02));
    for (int i = 0; i < 1000; i++) {
        observe(&model, &round, 0.1 * (1.0 + 0.2 * (double)draw_float(&draw)));
        if (i > 40)
            CHECK(is_near(cost_model_predict(&model, &round), 0.1, 0.15));
    }
}

/* With help a round is faster; who was never helped is believed to be as unhelped. */
static void test_help(void)
{
    static struct cost_model model;
    const struct cost_share share = {50, 1};
    struct cost_round round = round_of(BATCHER_DECODE, &share, 1);
    observe(&model, &round, 0.4);
    round.helped = true;
    CHECK(is_near(cost_model_predict(&model, &round), 0.4, 1e-9));
    for (int i = 0; i < 30; i++)
        observe(&model, &round, 0.1);
    CHECK(is_near(cost_model_predict(&model, &round), 0.1, 0.02));
    round.helped = false;
    CHECK(is_near(cost_model_predict(&model, &round), 0.4, 1e-9));
}

/* Whatever is observed, no value is negative, infinite or NaN. */
static void test_random(void)
{
    static struct cost_model model;
    static const double scales[] = {0.0, 1e-12, 1e-3, 1.0, 1e5};
    struct draw draw = {5};
    for (int i = 0; i < 20000; i++) {
        struct cost_share shares[MOST_SHARES];
        size_t n = draw_below(&draw, MOST_SHARES);
        for (size_t k = 0; k < n; k++)
            shares[k] = (struct cost_share){
                draw_below(&draw, 1u << draw_below(&draw, 24)), draw_below(&draw, 5)};
        struct cost_round round = {
            (enum batcher_work)draw_below(&draw, BATCHER_WORK_COUNT),
            draw_below(&draw, 2) == 0, shares, n};
        observe(&model, &round,
                scales[draw_below(&draw, 5)] * (1.0 + (double)draw_float(&draw)));
        double item = cost_model_item(&model, round.work, round.helped,
                                      draw_below(&draw, 100000), draw_below(&draw, 100));
        CHECK(isfinite(item) && item >= 0.0);
    }
}

int main(void)
{
    test_nothing_known();
    test_unknown_cells();
    test_size_classes();
    test_batches();
    test_mixed_sizes();
    test_mixed_round_moves_once();
    test_follows();
    test_outliers();
    test_help();
    test_random();
    return 0;
}
