/* What holds for every solver on any velocity; how exact they are is test_order.c. */
#include "sampler/guidance.h"
#include "sampler/schedule.h"
#include "sampler/solver.h"
#include "tests/check.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { N = 6, MAX_STEPS = 32, MAX_GOLDEN = 24 };

static const float start[N] = {-1.5f, -0.3f, 0.0f, 0.7f, 1.1f, 2.9f};

static void velocity_at(const float *x, float t, float *v)
{
    for (size_t i = 0; i < N; i++)
        v[i] = sinf(3.0f * x[i]) + t * x[i] - 0.4f;
}

/* Shift 3, from exactly 1 to exactly 0. */
static void shifted_times(unsigned steps, float *times)
{
    const struct scheduler_config config = {.shift = 3.0};
    schedule_times(&config, steps, 64, times);
}

static struct solver *create(enum solver_kind kind, const float *times, unsigned steps)
{
    struct solver *solver = NULL;
    struct err err;
    CHECK_OK(
        solver_create(&solver, kind, &(struct solver_grid){times, steps}, start, N, &err),
        err);
    return solver;
}

static unsigned run_to_end(struct solver *solver)
{
    const float *x;
    float t, v[N];
    unsigned evaluations = 0;
    while (solver_want(solver, &x, &t)) {
        velocity_at(x, t, v);
        solver_give(solver, v);
        evaluations++;
    }
    return evaluations;
}

static void test_names(void)
{
    static const char *const names[SOLVER_COUNT] = {"euler", "midpoint", "heun", "ab2",
                                                    "dpmpp_2m"};
    for (unsigned i = 0; i < SOLVER_COUNT; i++) {
        enum solver_kind kind = SOLVER_COUNT;
        CHECK(strcmp(solver_name((enum solver_kind)i), names[i]) == 0);
        CHECK(solver_from_name(names[i], &kind) && (unsigned)kind == i);
    }
    enum solver_kind kind = SOLVER_HEUN;
    CHECK(!solver_from_name("Euler", &kind) && !solver_from_name("", &kind));
    CHECK(kind == SOLVER_HEUN);
}

static void test_evaluations(void)
{
    for (unsigned steps = 1; steps <= MAX_STEPS; steps++) {
        const unsigned expected[SOLVER_COUNT] = {steps, 2 * steps, 2 * steps - 1, steps,
                                                 steps};
        float times[MAX_STEPS + 1];
        shifted_times(steps, times);
        for (unsigned i = 0; i < SOLVER_COUNT; i++) {
            const enum solver_kind kind = (enum solver_kind)i;
            struct solver *solver = create(kind, times, steps);
            CHECK(solver_evaluations(kind, steps) == expected[i]);
            CHECK(run_to_end(solver) == expected[i]);
            CHECK(solver_steps_done(solver) == steps);
            solver_destroy(solver);
        }
    }
}

/* x and t of every want lie where the method's definition has them, and the state only
 * changes when a whole step is done. */
static void test_wants(void)
{
    enum { STEPS = 5 };
    static const float node[SOLVER_COUNT] = {0.0f, 0.5f, 1.0f, 0.0f, 0.0f};
    float times[STEPS + 1];
    shifted_times(STEPS, times);
    for (unsigned i = 0; i < SOLVER_COUNT; i++) {
        struct solver *solver = create((enum solver_kind)i, times, STEPS);
        const float *x, *again;
        float t, t_again, v[N], before[N], reach = 0.0f;
        unsigned step = 0;
        for (unsigned stage = 0; solver_want(solver, &x, &t); stage++) {
            CHECK(solver_want(solver, &again, &t_again) && again == x);
            if (solver_steps_done(solver) != step) {
                step = solver_steps_done(solver);
                stage = 0;
            }
            const float step_length = times[step + 1] - times[step];
            reach = stage == 0 ? 0.0f : node[i] * step_length;
            CHECK(fabsf(t - (times[step] + reach)) <= 1e-7f);
            for (size_t j = 0; j < N; j++) {
                if (stage == 0)
                    before[j] = x[j];
                else
                    CHECK(fabsf(x[j] - (before[j] + reach * v[j])) <= 1e-6f);
            }
            CHECK(memcmp(solver_state(solver), before, sizeof(before)) == 0);
            velocity_at(x, t, v);
            solver_give(solver, v);
        }
        CHECK(step == STEPS - 1 && solver_steps_done(solver) == STEPS);
        CHECK(!solver_want(solver, &x, &t));
        solver_destroy(solver);
    }
}

static void test_euler_is_exactly_the_formula(void)
{
    for (unsigned steps = 1; steps <= MAX_STEPS; steps += 3) {
        float times[MAX_STEPS + 1], x[N], v[N];
        shifted_times(steps, times);
        memcpy(x, start, sizeof(x));
        for (unsigned i = 0; i < steps; i++) {
            velocity_at(x, times[i], v);
            const float step_length = times[i + 1] - times[i];
            for (size_t j = 0; j < N; j++)
                x[j] = x[j] + step_length * v[j];
        }
        struct solver *solver = create(SOLVER_EULER, times, steps);
        (void)run_to_end(solver);
        CHECK(memcmp(solver_state(solver), x, sizeof(x)) == 0);
        solver_destroy(solver);
    }
}

static void read_row(FILE *file, float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK(fscanf(file, "%f", &values[i]) == 1);
}

/* Guidance and Euler against diffusers, to the bit (tests/golden/euler_cases.py). */
static void check_golden_case(FILE *file, unsigned steps, size_t n, double guidance)
{
    float times[MAX_STEPS + 1], row[MAX_GOLDEN], negative[MAX_GOLDEN], v[MAX_GOLDEN];
    CHECK(steps <= MAX_STEPS && n <= MAX_GOLDEN);
    read_row(file, times, steps + 1);
    read_row(file, row, n);
    struct solver *solver = NULL;
    struct err err;
    CHECK_OK(solver_create(&solver, SOLVER_EULER, &(struct solver_grid){times, steps},
                           row, n, &err),
             err);
    for (unsigned i = 0; i < steps; i++) {
        read_row(file, v, n);
        read_row(file, negative, n);
        read_row(file, row, n);
        guidance_combine(guidance, v, negative, n);
        solver_give(solver, v);
        CHECK(memcmp(solver_state(solver), row, n * sizeof(float)) == 0);
    }
    solver_destroy(solver);
}

static void test_golden_cases(void)
{
    FILE *file = fopen(SLUICE_SOURCE_DIR "/tests/golden/euler/cases.txt", "r");
    CHECK(file != NULL);
    unsigned steps, cases = 0;
    size_t n;
    double guidance;
    while (fscanf(file, "%u %zu %lf", &steps, &n, &guidance) == 3) {
        check_golden_case(file, steps, n, guidance);
        cases++;
    }
    (void)fclose(file);
    CHECK(cases == 2);
}

/* One step from noise to image is x - v whatever the method, as long as v is constant:
 * the second evaluation of midpoint sees the same v. */
static void test_constant_velocity_is_exact(void)
{
    const float v[N] = {1.0f, -0.5f, 0.25f, 2.0f, -1.0f, 0.0f};
    for (unsigned i = 0; i < SOLVER_COUNT; i++) {
        for (unsigned steps = 1; steps <= MAX_STEPS; steps++) {
            float times[MAX_STEPS + 1], t;
            const float *x;
            shifted_times(steps, times);
            struct solver *solver = create((enum solver_kind)i, times, steps);
            while (solver_want(solver, &x, &t))
                solver_give(solver, v);
            for (size_t j = 0; j < N; j++)
                CHECK(fabsf(solver_state(solver)[j] - (start[j] - v[j])) <= 4e-6f);
            solver_destroy(solver);
        }
    }
}

/* The schedule's both ends are where lambda = ln((1 - t)/t) is infinite. The step that
 * ends at 0 must return the image the model predicts, exactly. */
static void test_dpmpp_2m_at_the_ends(void)
{
    for (unsigned steps = 1; steps <= MAX_STEPS; steps++) {
        float times[MAX_STEPS + 1], t, v[N], image[N];
        const float *x;
        shifted_times(steps, times);
        struct solver *solver = create(SOLVER_DPMPP_2M, times, steps);
        while (solver_want(solver, &x, &t)) {
            velocity_at(x, t, v);
            for (size_t j = 0; j < N; j++)
                image[j] = x[j] - t * v[j];
            solver_give(solver, v);
            for (size_t j = 0; j < N; j++)
                CHECK(fabsf(solver_state(solver)[j]) < 8.0f);
        }
        CHECK(memcmp(solver_state(solver), image, sizeof(image)) == 0);
        solver_destroy(solver);
    }
}

/* From t = 1 the first two steps are of first order (lambda is -infinity behind both),
 * the third is not. */
static void test_dpmpp_2m_starts_as_euler(void)
{
    enum { STEPS = 8 };
    float times[STEPS + 1], v[N];
    shifted_times(STEPS, times);
    struct solver *euler = create(SOLVER_EULER, times, STEPS);
    struct solver *solver = create(SOLVER_DPMPP_2M, times, STEPS);
    for (unsigned step = 0; step < 3; step++) {
        struct solver *both[] = {euler, solver};
        for (size_t i = 0; i < 2; i++) {
            const float *x;
            float t;
            CHECK(solver_want(both[i], &x, &t));
            velocity_at(x, t, v);
            solver_give(both[i], v);
        }
        const bool same =
            memcmp(solver_state(euler), solver_state(solver), sizeof(v)) == 0;
        CHECK(same == (step < 2));
    }
    solver_destroy(euler);
    solver_destroy(solver);
}

static void test_refusals(void)
{
    const float good[] = {1.0f, 0.5f, 0.0f};
    const float bad[][3] = {{1.0f, 0.5f, 0.5f},  {0.5f, 0.75f, 0.0f}, {1.5f, 0.5f, 0.0f},
                            {1.0f, 0.5f, -0.1f}, {1.0f, NAN, 0.0f},   {NAN, 0.5f, 0.0f},
                            {1.0f, 0.5f, NAN}};
    struct solver *solver = NULL;
    struct err err = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err.message[0] = '\0';
        CHECK(solver_create(&solver, SOLVER_AB2, &(struct solver_grid){bad[i], 2}, start,
                            N, &err) == ERR_INVALID);
        CHECK(err.code == ERR_INVALID && err.message[0] != '\0');
    }
    CHECK(solver_create(&solver, SOLVER_COUNT, &(struct solver_grid){good, 2}, start, N,
                        NULL) == ERR_INVALID);
    CHECK(solver_create(&solver, SOLVER_EULER, &(struct solver_grid){good, 0}, start, N,
                        &err) == ERR_INVALID);
    CHECK(solver_create(&solver, SOLVER_EULER, &(struct solver_grid){good, 2}, start, 0,
                        &err) == ERR_INVALID);
    CHECK(solver_create(&solver, SOLVER_HEUN, &(struct solver_grid){good, 2}, start,
                        SIZE_MAX / 4, &err) == ERR_NO_MEMORY);
    CHECK(solver_create(&solver, SOLVER_EULER, &(struct solver_grid){good, 2}, start,
                        SIZE_MAX, &err) == ERR_NO_MEMORY);
    CHECK(solver == NULL);
    solver_destroy(solver);
}

int main(void)
{
    test_names();
    test_evaluations();
    test_wants();
    test_euler_is_exactly_the_formula();
    test_golden_cases();
    test_constant_velocity_is_exact();
    test_dpmpp_2m_at_the_ends();
    test_dpmpp_2m_starts_as_euler();
    test_refusals();
    return 0;
}
