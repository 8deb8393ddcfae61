/*
 * sampler_name - solvers under the names that Automatic1111 and its clients know.
 *
 * Threads: pure functions over a constant table. Ownership: none.
 */
#ifndef SLUICE_API_SAMPLER_NAME_H
#define SLUICE_API_SAMPLER_NAME_H

#include "sampler/solver.h"

#include <stdbool.h>

/* "Euler", "Heun", "DPM++ 2M", and in the same manner for those it does not have. */
const char *sampler_name(enum solver_kind solver);

/* Also takes the solver's own name; letters compare without case. False when there is
 * none. */
bool sampler_from_name(const char *name, enum solver_kind *solver);

#endif
