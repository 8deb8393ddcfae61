/* Trajectories against a model that is a formula: what they ask for, what they make of
 * the answers, and that none sees another. */
#include "sampler/noise.h"
#include "sampler/schedule.h"
#include "sampler/trajectory.h"
#include "tests/check.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    PATCH = 16,
    CHANNELS = 5,
    MAX_VALUES = 4 * 6 * CHANNELS,
    MAX_STEPS = 20,
    MANY = 9
};

static const struct scheduler_config scheduler = {
    .shift = 3.0, .dynamic_shift = true, .type = TIME_SHIFT_EXPONENTIAL};

static const float prompt_context[] = {0.7f}, negative_context[] = {-0.2f};
static const struct condition prompt = {
    .tokens = 1, .width = 1, .context = prompt_context};
static const struct condition negative = {
    .tokens = 1, .width = 1, .context = negative_context};

static void evaluate(const struct velocity_item *items, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const size_t values = items[k].height * items[k].width * CHANNELS;
        const float bias = items[k].condition->context[0];
        for (size_t i = 0; i < values; i++)
            items[k].v[i] = sinf(2.0f * items[k].x[i]) + bias * items[k].t;
    }
}

/* 3 tokens high, 4 wide, or 6 wide and 4 high, each with its own seed. */
static struct sampling sampling_of(unsigned number)
{
    return (struct sampling){.seed = number * 17u,
                             .steps = 1 + number % MAX_STEPS,
                             .width = number % 2 == 0 ? 4 * PATCH : 6 * PATCH,
                             .height = number % 2 == 0 ? 3 * PATCH : 4 * PATCH,
                             .guidance = number % 3 == 0 ? 1.0 : 3.5,
                             .solver = (enum solver_kind)(number % SOLVER_COUNT)};
}

static size_t values_of(const struct sampling *sampling)
{
    return sampling->width / PATCH * (sampling->height / PATCH) * CHANNELS;
}

static struct trajectory *create(const struct sampling *sampling)
{
    struct trajectory *trajectory = NULL;
    struct err err;
    CHECK_OK(trajectory_create(&trajectory, sampling, &scheduler, PATCH, CHANNELS, &err),
             err);
    return trajectory;
}

static bool advance(struct trajectory *trajectory)
{
    struct velocity_item items[TRAJECTORY_MAX_ITEMS];
    const size_t n = trajectory_want(trajectory, &prompt, &negative, items);
    if (n == 0)
        return false;
    evaluate(items, n);
    trajectory_give(trajectory);
    return true;
}

/* The noise is drawn by channel, the latent is kept by token. */
static void test_starts_from_the_noise(void)
{
    for (unsigned number = 0; number < 2; number++) {
        const struct sampling sampling = sampling_of(number);
        const size_t width = sampling.width / PATCH, height = sampling.height / PATCH;
        float noise[MAX_VALUES];
        noise_fill(sampling.seed, noise, values_of(&sampling));
        struct trajectory *trajectory = create(&sampling);
        const float *latent = trajectory_latent(trajectory);
        for (size_t c = 0; c < CHANNELS; c++)
            for (size_t y = 0; y < height; y++)
                for (size_t x = 0; x < width; x++)
                    CHECK(memcmp(&latent[(y * width + x) * CHANNELS + c],
                                 &noise[(c * height + y) * width + x],
                                 sizeof(float)) == 0);
        CHECK(trajectory_steps_done(trajectory) == 0);
        CHECK(trajectory_evaluations_done(trajectory) == 0);
        trajectory_destroy(trajectory);
    }
}

static void test_items(void)
{
    for (unsigned guided = 0; guided < 2; guided++) {
        struct sampling sampling = sampling_of(1);
        sampling.guidance = guided == 0 ? 1.0 : 2.0;
        struct trajectory *trajectory = create(&sampling);
        struct velocity_item items[TRAJECTORY_MAX_ITEMS];
        const size_t n =
            trajectory_want(trajectory, &prompt, guided == 0 ? NULL : &negative, items);
        CHECK(n == 1 + guided);
        for (size_t i = 0; i < n; i++) {
            CHECK(items[i].height == 4 && items[i].width == 6);
            CHECK(items[i].x == trajectory_latent(trajectory));
            CHECK(items[i].t >= 1.0f && items[i].t <= 1.0f);
            CHECK(items[i].condition == (i == 0 ? &prompt : &negative));
        }
        CHECK(n == 1 || items[1].v >= items[0].v + values_of(&sampling));
        trajectory_destroy(trajectory);
    }
}

static void test_counts(void)
{
    static const unsigned plain[SOLVER_COUNT] = {7, 14, 13, 7, 7};
    for (unsigned i = 0; i < 2 * SOLVER_COUNT; i++) {
        const unsigned items = 1 + i / SOLVER_COUNT;
        struct sampling sampling = sampling_of(0);
        sampling.steps = 7;
        sampling.solver = (enum solver_kind)(i % SOLVER_COUNT);
        sampling.guidance = items == 1 ? 1.0 : 4.0;
        const unsigned expected = items * plain[sampling.solver];
        CHECK(sampling_evaluations(&sampling) == expected);
        struct trajectory *trajectory = create(&sampling);
        unsigned evaluations = 0;
        while (advance(trajectory)) {
            evaluations += items;
            CHECK(trajectory_evaluations_done(trajectory) == evaluations);
        }
        CHECK(evaluations == expected);
        CHECK(trajectory_steps_done(trajectory) == 7);
        trajectory_destroy(trajectory);
    }
}

/* The whole of a guided Euler image written out, as diffusers does it. */
static void test_guided_euler_by_hand(void)
{
    const struct sampling sampling = {.seed = 5,
                                      .steps = 6,
                                      .width = 6 * PATCH,
                                      .height = 4 * PATCH,
                                      .guidance = 3.5,
                                      .solver = SOLVER_EULER};
    struct trajectory *trajectory = create(&sampling);
    const size_t n = values_of(&sampling);
    float x[MAX_VALUES], v[MAX_VALUES], other[MAX_VALUES], times[MAX_STEPS + 1];
    memcpy(x, trajectory_latent(trajectory), n * sizeof(float));
    schedule_times(&scheduler, sampling.steps, 24, times);
    for (unsigned step = 0; step < sampling.steps; step++) {
        const struct velocity_item items[] = {{.height = 4,
                                               .width = 6,
                                               .t = times[step],
                                               .x = x,
                                               .condition = &prompt,
                                               .v = v},
                                              {.height = 4,
                                               .width = 6,
                                               .t = times[step],
                                               .x = x,
                                               .condition = &negative,
                                               .v = other}};
        evaluate(items, 2);
        for (size_t i = 0; i < n; i++) {
            const float guided = other[i] + 3.5f * (v[i] - other[i]);
            x[i] = x[i] + (times[step + 1] - times[step]) * guided;
        }
        CHECK(advance(trajectory));
        CHECK(trajectory_steps_done(trajectory) == step + 1);
        CHECK(memcmp(trajectory_latent(trajectory), x, n * sizeof(float)) == 0);
    }
    CHECK(!advance(trajectory));
    trajectory_destroy(trajectory);
}

/* Each alone, then all of them interleaved, in batches that change as they finish. */
static void test_trajectories_do_not_see_each_other(void)
{
    static float alone[MANY][MAX_VALUES];
    struct trajectory *trajectories[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        const struct sampling sampling = sampling_of(i);
        struct trajectory *trajectory = create(&sampling);
        while (advance(trajectory))
            continue;
        memcpy(alone[i], trajectory_latent(trajectory),
               values_of(&sampling) * sizeof(float));
        trajectory_destroy(trajectory);
    }
    for (unsigned i = 0; i < MANY; i++) {
        const struct sampling sampling = sampling_of(i);
        trajectories[i] = create(&sampling);
    }
    size_t wanted;
    do {
        struct velocity_item batch[MANY * TRAJECTORY_MAX_ITEMS];
        bool ready[MANY];
        wanted = 0;
        for (unsigned i = MANY; i-- > 0;) {
            const size_t n =
                trajectory_want(trajectories[i], &prompt, &negative, batch + wanted);
            ready[i] = n > 0;
            wanted += n;
        }
        evaluate(batch, wanted);
        for (unsigned i = 0; i < MANY; i++)
            if (ready[i])
                trajectory_give(trajectories[i]);
    } while (wanted > 0);
    for (unsigned i = 0; i < MANY; i++) {
        const struct sampling sampling = sampling_of(i);
        CHECK(memcmp(trajectory_latent(trajectories[i]), alone[i],
                     values_of(&sampling) * sizeof(float)) == 0);
        trajectory_destroy(trajectories[i]);
    }
}

static void expect_refusal(struct sampling sampling, enum err_code expected)
{
    struct trajectory *trajectory = NULL;
    struct err err = {0};
    CHECK(trajectory_create(&trajectory, &sampling, &scheduler, PATCH, CHANNELS, &err) ==
          expected);
    CHECK(trajectory == NULL && err.code == expected && err.message[0] != '\0');
}

static void test_refusals(void)
{
    struct sampling sampling = sampling_of(0);
    sampling.width = 4 * PATCH + 1;
    expect_refusal(sampling, ERR_INVALID);
    sampling = sampling_of(0);
    sampling.height = 0;
    expect_refusal(sampling, ERR_INVALID);
    sampling = sampling_of(0);
    sampling.steps = 0;
    expect_refusal(sampling, ERR_INVALID);
    sampling = sampling_of(0);
    sampling.solver = SOLVER_COUNT;
    expect_refusal(sampling, ERR_INVALID);
    sampling = sampling_of(0);
    sampling.width = sampling.height = SIZE_MAX / PATCH * PATCH;
    expect_refusal(sampling, ERR_NO_MEMORY);
    trajectory_destroy(NULL);
}

int main(void)
{
    test_starts_from_the_noise();
    test_items();
    test_counts();
    test_guided_euler_by_hand();
    test_trajectories_do_not_see_each_other();
    test_refusals();
    return 0;
}
