/*
 * solver - integrates dx/dt = v(x, t) over a given grid of falling times.
 *
 * A solver never calls the model. It says which velocity it needs next (solver_want)
 * and is told it (solver_give), so that whoever drives it can evaluate many solvers, at
 * different steps and of different kinds, in one batch, and can stop between any two
 * evaluations.
 *
 *     while (solver_want(solver, &x, &t)) {
 *         velocity(x, t, v);
 *         solver_give(solver, v);
 *     }
 *
 * Threads: one at a time. Ownership: times and start are copied; x is borrowed.
 */
#ifndef SLUICE_SAMPLER_SOLVER_H
#define SLUICE_SAMPLER_SOLVER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum solver_kind {
    SOLVER_EULER,    /* first order; diffusers' FlowMatchEulerDiscreteScheduler.step */
    SOLVER_MIDPOINT, /* explicit midpoint, two evaluations a step */
    SOLVER_HEUN,     /* two evaluations a step, but Euler's in the last (EDM, alg. 1) */
    SOLVER_AB2,      /* Adams-Bashforth with variable steps, first step Euler's */
    SOLVER_DPMPP_2M, /* DPM-Solver++(2M) (Lu et al. 2022, alg. 2), data prediction */
    SOLVER_COUNT
};

struct solver;

/* The times that a solver goes through: steps + 1 values, falling, from at most 1 to at
 * least 0. */
struct solver_grid {
    const float *times;
    unsigned steps;
};

/* start has n values. */
enum err_code solver_create(struct solver **out,
                            enum solver_kind kind,
                            const struct solver_grid *grid,
                            const float *start,
                            size_t n,
                            struct err *err);
void solver_destroy(struct solver *solver);

/* What velocity is needed next; false when the last step is done. *x has n values and
 * is valid until solver_give. */
bool solver_want(const struct solver *solver, const float **x, float *t);
void solver_give(struct solver *solver, const float *restrict v);

/* Whole steps done so far. */
unsigned solver_steps_done(const struct solver *solver);

/* The state after the last whole step: n values, borrowed. */
const float *solver_state(const struct solver *solver);

/* Evaluations that `steps` steps take: N for euler, ab2 and dpmpp_2m, 2N for midpoint,
 * 2N - 1 for heun. */
unsigned solver_evaluations(enum solver_kind kind, unsigned steps);

/* "euler", "midpoint", "heun", "ab2", "dpmpp_2m". */
const char *solver_name(enum solver_kind kind);

/* False when no solver has that name. */
bool solver_from_name(const char *name, enum solver_kind *kind);

#endif
