/*
 * sampling - how one image is to be drawn: the values of a request that the sampler
 * needs, in their ranges.
 *
 * Threads: plain values. Ownership: none.
 */
#ifndef SLUICE_SAMPLER_SAMPLING_H
#define SLUICE_SAMPLER_SAMPLING_H

#include "sampler/solver.h"

#include <stddef.h>
#include <stdint.h>

struct sampling {
    uint32_t seed;
    unsigned steps;       /* intervals of the schedule, at least 1 */
    size_t width, height; /* pixels, multiples of the model's patch */
    double guidance;      /* 1 is off */
    enum solver_kind solver;
};

/* Velocity evaluations that an image takes: solver_evaluations, twice that when it is
 * guided (classifier-free guidance evaluates the negative prompt too). */
unsigned sampling_evaluations(const struct sampling *sampling);

#endif
