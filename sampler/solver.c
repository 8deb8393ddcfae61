#include "sampler/solver.h"

#include "base/elementary.h"
#include "base/size.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Every method here is one update,
 *
 *     x' = x + velocity * v + current * k + previous * k_before,
 *
 * where v is the velocity just given, k what the method kept of this step's first
 * evaluation and k_before what it kept of the step before. A method of two stages
 * evaluates v at t + node * (t' - t) and at the Euler probe of that time. The weights
 * follow from the times alone; they are computed in double and applied in float32. */
struct weights {
    double velocity, current, previous;
};

/* One step: from t to t' (falling), and the time at which the step before began. */
struct interval {
    double before, from, to;
    bool has_before; /* false in the first step */
};

enum keep {
    KEEP_NOTHING,
    KEEP_VELOCITY,
    KEEP_IMAGE /* the image the velocity points at, D = x - t v */
};

struct method {
    const char *name;
    unsigned stages;
    bool euler_last; /* the last step has one stage and Euler's weights */
    double node;
    enum keep keep;
    size_t kept; /* vectors k that are stored: of this step, and of the one before */
    struct weights (*weigh)(const struct interval *interval);
};

/* On the straight path this is also DDIM (Song et al. 2021, eq. 12 with sigma = 0). */
static struct weights weigh_euler(const struct interval *interval)
{
    return (struct weights){.velocity = interval->to - interval->from};
}

static struct weights weigh_heun(const struct interval *interval)
{
    const double half = 0.5 * (interval->to - interval->from);
    return (struct weights){.velocity = half, .current = half};
}

/* Integrates the line through the last two velocities (Hairer, Norsett and Wanner,
 * "Solving Ordinary Differential Equations I", III.5, for variable steps). */
static struct weights weigh_ab2(const struct interval *interval)
{
    if (!interval->has_before)
        return weigh_euler(interval);
    const double step = interval->to - interval->from;
    const double half_ratio = 0.5 * step / (interval->from - interval->before);
    return (struct weights){.velocity = step * (1.0 + half_ratio),
                            .previous = -step * half_ratio};
}

/* Half the log of the signal-to-noise ratio at time t, above 0 and below 1. */
static double log_snr_half(double t)
{
    return elementary_log(1.0 - t) - elementary_log(t);
}

/* DPM-Solver++(2M): with l = ln((1 - t) / t), h = l' - l and r = h_before / h,
 *
 *     x' = (t'/t) x - (1 - t') (e^-h - 1) (D + (D - D_before) / 2r).
 *
 * On this path (1 - t') (1 - e^-h) = 1 - t'/t, so its first-order part is Euler's step
 * and stays finite at both ends. l is -infinity at t = 1, where 1/r becomes 0, and
 * +infinity at t' = 0, where the step must be of first order (x' = D). */
static struct weights weigh_dpmpp_2m(const struct interval *interval)
{
    struct weights weights = weigh_euler(interval);
    if (!interval->has_before || interval->before >= 1.0 || interval->to <= 0.0)
        return weights;
    const double here = log_snr_half(interval->from);
    const double ratio =
        (log_snr_half(interval->to) - here) / (here - log_snr_half(interval->before));
    weights.current = 0.5 * ratio * (1.0 - interval->to / interval->from);
    weights.previous = -weights.current;
    return weights;
}

static const struct method methods[SOLVER_COUNT] = {
    [SOLVER_EULER] = {"euler", 1, false, 0.0, KEEP_NOTHING, 0, weigh_euler},
    [SOLVER_MIDPOINT] = {"midpoint", 2, false, 0.5, KEEP_NOTHING, 0, weigh_euler},
    [SOLVER_HEUN] = {"heun", 2, true, 1.0, KEEP_VELOCITY, 1, weigh_heun},
    [SOLVER_AB2] = {"ab2", 1, false, 0.0, KEEP_VELOCITY, 2, weigh_ab2},
    [SOLVER_DPMPP_2M] = {"dpmpp_2m", 1, false, 0.0, KEEP_IMAGE, 2, weigh_dpmpp_2m},
};

struct solver {
    const struct method *method;
    size_t n;
    unsigned steps, step, stage;
    float *times;              /* steps + 1 */
    float *x, *probe;          /* n each; probe only where there are two stages */
    float *current, *previous; /* n each, as far as the method stores them */
    float memory[];
};

static enum err_code check_times(const float *times, unsigned steps, struct err *err)
{
    /* Written so that a NaN fails. */
    for (unsigned i = 0; i < steps; i++)
        if (!(times[i] > times[i + 1]))
            return err_set(err, ERR_INVALID,
                           "times must fall: time %u is %g, time %u is %g", i,
                           (double)times[i], i + 1, (double)times[i + 1]);
    if (!(times[0] <= 1.0f && times[steps] >= 0.0f))
        return err_set(err, ERR_INVALID,
                       "times must lie in [0, 1]: they go from %g to %g",
                       (double)times[0], (double)times[steps]);
    return ERR_OK;
}

static struct solver *allocate(const struct method *method, unsigned steps, size_t n)
{
    const size_t probes = method->stages > 1 ? 1 : 0;
    const size_t states = size_multiply(1 + probes + method->kept, n);
    const size_t floats = size_add(size_add(steps, 1), states);
    const size_t size =
        size_add(sizeof(struct solver), size_multiply(floats, sizeof(float)));
    struct solver *solver = size == SIZE_MAX ? NULL : malloc(size);
    if (solver == NULL)
        return NULL;

    *solver = (struct solver){.method = method, .n = n, .steps = steps};
    solver->times = solver->memory;
    solver->x = solver->times + steps + 1;
    float *rest = solver->x + n;
    if (probes > 0) {
        solver->probe = rest;
        rest += n;
    }
    if (method->kept > 0)
        solver->current = rest;
    if (method->kept > 1)
        solver->previous = rest + n;
    return solver;
}

enum err_code solver_create(struct solver **out,
                            enum solver_kind kind,
                            const struct solver_grid *grid,
                            const float *start,
                            size_t n,
                            struct err *err)
{
    if ((unsigned)kind >= SOLVER_COUNT)
        return err_set(err, ERR_INVALID, "there is no solver %u", (unsigned)kind);
    if (grid->steps == 0 || n == 0)
        return err_set(err, ERR_INVALID,
                       "a solver needs at least one step and one value, not %u and %zu",
                       grid->steps, n);
    const enum err_code code = check_times(grid->times, grid->steps, err);
    if (code != ERR_OK)
        return code;
    struct solver *solver = allocate(&methods[kind], grid->steps, n);
    if (solver == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %s over %zu values",
                       methods[kind].name, n);
    memcpy(solver->times, grid->times, ((size_t)grid->steps + 1) * sizeof(float));
    memcpy(solver->x, start, n * sizeof(float));
    *out = solver;
    return ERR_OK;
}

void solver_destroy(struct solver *solver)
{
    free(solver);
}

static struct interval interval_of(const struct solver *solver)
{
    const float *time = solver->times + solver->step;
    const bool has_before = solver->step > 0;
    return (struct interval){.before = has_before ? (double)time[-1] : 0.0,
                             .from = (double)time[0],
                             .to = (double)time[1],
                             .has_before = has_before};
}

static bool is_euler_step(const struct solver *solver)
{
    return solver->method->euler_last && solver->step + 1 == solver->steps;
}

bool solver_want(const struct solver *solver, const float **x, float *t)
{
    if (solver->step == solver->steps)
        return false;
    const struct interval interval = interval_of(solver);
    if (solver->stage == 0) {
        *x = solver->x;
        *t = solver->times[solver->step];
    } else {
        *x = solver->probe;
        *t =
            (float)(interval.from + solver->method->node * (interval.to - interval.from));
    }
    return true;
}

/* out := base + weight * vector; out may be base. Product and sum are rounded to
 * float32 one after the other, as torch does in `sample + dt * model_output`. */
static void add_scaled(
    float *out, const float *base, double weight, const float *restrict vector, size_t n)
{
    const float factor = (float)weight;
    for (size_t i = 0; i < n; i++)
        out[i] = base[i] + factor * vector[i];
}

static void keep_first_stage(struct solver *solver, const float *v, double t)
{
    switch (solver->method->keep) {
    case KEEP_NOTHING:
        break;
    case KEEP_VELOCITY:
        memcpy(solver->current, v, solver->n * sizeof(float));
        break;
    case KEEP_IMAGE:
        add_scaled(solver->current, solver->x, -t, v, solver->n);
        break;
    }
}

static void finish_step(struct solver *solver, struct weights weights, const float *v)
{
    const size_t n = solver->n;
    add_scaled(solver->x, solver->x, weights.velocity, v, n);
    if (weights.current != 0.0)
        add_scaled(solver->x, solver->x, weights.current, solver->current, n);
    if (weights.previous != 0.0)
        add_scaled(solver->x, solver->x, weights.previous, solver->previous, n);

    if (solver->method->kept > 1) {
        float *oldest = solver->previous;
        solver->previous = solver->current;
        solver->current = oldest;
    }
    solver->stage = 0;
    solver->step++;
}

void solver_give(struct solver *solver, const float *restrict v)
{
    assert(solver->step < solver->steps);
    const struct method *method = solver->method;
    const struct interval interval = interval_of(solver);
    const bool euler = is_euler_step(solver);

    if (solver->stage == 0)
        keep_first_stage(solver, v, interval.from);
    if (!euler && solver->stage + 1 < method->stages) {
        const double reach = method->node * (interval.to - interval.from);
        add_scaled(solver->probe, solver->x, reach, v, solver->n);
        solver->stage++;
        return;
    }
    finish_step(solver, euler ? weigh_euler(&interval) : method->weigh(&interval), v);
}

unsigned solver_steps_done(const struct solver *solver)
{
    return solver->step;
}

const float *solver_state(const struct solver *solver)
{
    return solver->x;
}

unsigned solver_evaluations(enum solver_kind kind, unsigned steps)
{
    assert((unsigned)kind < SOLVER_COUNT && steps > 0);
    const struct method *method = &methods[kind];
    return method->stages * steps - (method->euler_last ? method->stages - 1 : 0);
}

const char *solver_name(enum solver_kind kind)
{
    assert((unsigned)kind < SOLVER_COUNT);
    return methods[kind].name;
}

bool solver_from_name(const char *name, enum solver_kind *kind)
{
    for (unsigned i = 0; i < SOLVER_COUNT; i++) {
        if (strcmp(methods[i].name, name) == 0) {
            *kind = (enum solver_kind)i;
            return true;
        }
    }
    return false;
}
