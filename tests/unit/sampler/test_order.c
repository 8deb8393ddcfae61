/* The order of each solver, on flows of one dimension whose answer is known.
 *
 * Images are a mixture of N(m, s^2), noise is N(0, 1): on the straight path x(t) is a
 * mixture of normals with means (1 - t) m and deviations hypot((1 - t) s, t), and the
 * velocity is their weighted average. A flow of one dimension keeps the probability
 * that lies left of a trajectory, so the exact end is a quantile of the last mixture.
 *
 * With one component, where hypot^2 is quadratic in t, the h^3 term of the explicit
 * midpoint's local error vanishes: there, and only there, it is of third order. */
#include "sampler/solver.h"
#include "tests/check.h"

#include <math.h>

enum { N = 8, GRIDS = 4, MAX_STEPS = 128, MAX_COMPONENTS = 2 };

static const double first_time = 0.95, last_time = 0.05;

struct component {
    double share, mean, deviation;
};

struct expectation {
    double order, tolerance;
    unsigned fewest_steps; /* doubled three times; few where float32 would soon hide it */
};

static const struct flow {
    const char *name;
    unsigned components;
    struct component of[MAX_COMPONENTS];
    struct expectation expected[SOLVER_COUNT];
} flows[] = {
    {"normal",
     1,
     {{1.0, 0.5, 0.4}},
     {[SOLVER_EULER] = {1.0, 0.1, 16},
      [SOLVER_MIDPOINT] = {3.0, 0.15, 4},
      [SOLVER_HEUN] = {2.0, 0.15, 16},
      [SOLVER_AB2] = {2.0, 0.15, 16},
      [SOLVER_DPMPP_2M] = {2.0, 0.15, 16}}},
    {"mixture",
     2,
     {{0.4, -2.0, 0.8}, {0.6, 1.0, 0.5}},
     {[SOLVER_EULER] = {1.0, 0.1, 16},
      [SOLVER_MIDPOINT] = {2.0, 0.15, 16},
      [SOLVER_HEUN] = {2.0, 0.15, 16},
      [SOLVER_AB2] = {2.0, 0.15, 16},
      [SOLVER_DPMPP_2M] = {2.0, 0.15, 16}}},
};

static double deviation_at(const struct component *component, double t)
{
    return hypot((1.0 - t) * component->deviation, t);
}

/* x in deviations of the component at time t. */
static double scaled_at(const struct component *component, double x, double t)
{
    return (x - (1.0 - t) * component->mean) / deviation_at(component, t);
}

static double velocity_at(const struct flow *flow, double x, double t)
{
    double sum = 0.0, total = 0.0;
    for (unsigned k = 0; k < flow->components; k++) {
        const struct component *component = &flow->of[k];
        const double deviation = deviation_at(component, t);
        const double scaled = scaled_at(component, x, t);
        const double variance = component->deviation * component->deviation;
        const double stretch = (t - (1.0 - t) * variance) / deviation;
        const double density = component->share / deviation * exp(-0.5 * scaled * scaled);
        sum += density * (stretch * scaled - component->mean);
        total += density;
    }
    return sum / total;
}

static double probability_left_of(const struct flow *flow, double x, double t)
{
    double sum = 0.0;
    for (unsigned k = 0; k < flow->components; k++)
        sum += flow->of[k].share * 0.5 * erfc(-scaled_at(&flow->of[k], x, t) / sqrt(2.0));
    return sum;
}

static double exact_end(const struct flow *flow, double x, double from, double to)
{
    const double probability = probability_left_of(flow, x, from);
    double low = -32.0, high = 32.0;
    for (unsigned i = 0; i < 64; i++) {
        const double middle = 0.5 * (low + high);
        if (probability_left_of(flow, middle, to) < probability)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

/* Root mean square of the error at the last time, over N starts. */
static double error_with(const struct flow *flow, enum solver_kind kind, unsigned steps)
{
    float times[MAX_STEPS + 1], start[N], v[N], t;
    const float *x;
    for (unsigned i = 0; i <= steps; i++)
        times[i] = (float)(first_time + (last_time - first_time) * i / steps);
    for (size_t i = 0; i < N; i++)
        start[i] = (float)i * 0.5f - 1.75f;

    struct solver *solver = NULL;
    struct err err;
    CHECK_OK(
        solver_create(&solver, kind, &(struct solver_grid){times, steps}, start, N, &err),
        err);
    while (solver_want(solver, &x, &t)) {
        for (size_t i = 0; i < N; i++)
            v[i] = (float)velocity_at(flow, (double)x[i], (double)t);
        solver_give(solver, v);
    }
    double sum = 0.0;
    for (size_t i = 0; i < N; i++) {
        const double exact =
            exact_end(flow, (double)start[i], (double)times[0], (double)times[steps]);
        const double error = (double)solver_state(solver)[i] - exact;
        sum += error * error;
    }
    solver_destroy(solver);
    return sqrt(sum / N);
}

/* Minus the least-squares slope of log2(error) over log2(steps). */
static double
order_of(const struct flow *flow, enum solver_kind kind, unsigned fewest_steps)
{
    double covariance = 0.0, variance = 0.0;
    for (unsigned i = 0; i < GRIDS; i++) {
        const double centred = i - 0.5 * (GRIDS - 1);
        covariance += centred * log2(error_with(flow, kind, fewest_steps << i));
        variance += centred * centred;
    }
    return -covariance / variance;
}

/* The reference is right where a closed form exists: a trajectory of one component
 * keeps its distance from the mean in deviations. */
static void test_exact_end(void)
{
    const struct component *component = &flows[0].of[0];
    for (int i = -6; i <= 6; i++) {
        const double x = 0.5 * i;
        const double scaled = scaled_at(component, x, first_time);
        const double expected = (1.0 - last_time) * component->mean +
                                deviation_at(component, last_time) * scaled;
        CHECK(fabs(exact_end(&flows[0], x, first_time, last_time) - expected) < 1e-11);
    }
}

static void test_order(const struct flow *flow, enum solver_kind kind)
{
    const struct expectation *expected = &flow->expected[kind];
    const double order = order_of(flow, kind, expected->fewest_steps);
    (void)fprintf(stderr, "%s, %s: order %.3f\n", flow->name, solver_name(kind), order);
    CHECK(fabs(order - expected->order) <= expected->tolerance);
}

int main(void)
{
    test_exact_end();
    for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++)
        for (unsigned kind = 0; kind < SOLVER_COUNT; kind++)
            test_order(&flows[i], (enum solver_kind)kind);
    return 0;
}
