/*
 * each_kernels - runs a test once for each table of kernels that this processor can run.
 *
 * Threads: one. Ownership: none.
 */
#ifndef SLUICE_TESTS_LIB_EACH_KERNELS_H
#define SLUICE_TESTS_LIB_EACH_KERNELS_H

#include "model/kernels/kernels.h"

#include <stdio.h>

static inline void each_kernels(void (*test)(const struct kernels *kernels))
{
    bool runs;
    const struct kernels *kernels;
    kernels_init();
    for (size_t i = 0; (kernels = kernels_at(i, &runs)) != NULL; i++) {
        (void)fprintf(stderr, "%s%s\n", kernels->name, runs ? "" : ": SKIPPED");
        if (runs)
            test(kernels);
    }
}

#endif
