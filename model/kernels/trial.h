/*
 * trial - how long one kernel takes on arrays of its own, apart from any model: what a
 * bench prints.
 *
 * Threads: the calling one. Ownership: the arrays live as long as the call.
 */
#ifndef SLUICE_MODEL_KERNELS_TRIAL_H
#define SLUICE_MODEL_KERNELS_TRIAL_H

#include "model/kernels/kernels.h"

#include <stddef.h>

enum trial_kind {
    TRIAL_PRODUCT,     /* rows of inputs, by weights to outputs */
    TRIAL_ATTENTION,   /* one head: rows queries, inputs keys, outputs head size */
    TRIAL_CONVOLUTION, /* 3x3: rows pixels, inputs and outputs channels */
    TRIAL_NORM_RMS,    /* from here on: rows of `inputs` values */
    TRIAL_NORM_MODULATED,
    TRIAL_NORM_GROUP, /* in groups of 8 or fewer channels, with SiLU */
    TRIAL_ROTARY,     /* a head a row; from here on with a copy of the input */
    TRIAL_SOFTMAX,
    TRIAL_SILU,
    TRIAL_KIND_COUNT
};

struct trial {
    enum trial_kind kind;
    size_t rows, inputs, outputs;
};

/* "product", "attention", ... */
const char *trial_name(enum trial_kind kind);

/* Floating-point operations of the multiply-adds; 0 for what has none. */
double trial_operations(const struct trial *trial);

/* Seconds of one call: the median of some batches of calls, within about `budget`
 * seconds. ERR_NO_MEMORY when there is none for the arrays. */
enum err_code trial_measure(const struct trial *trial,
                            const struct kernels *kernels,
                            double budget,
                            double *seconds,
                            struct err *err);

#endif
