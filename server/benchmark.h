/*
 * benchmark - what a model costs on this machine, measured: rounds by batch and picture
 * size, their layers, an encode and decodes, single kernels, and the most that one core
 * could do.
 *
 * On one thread, or on several that share each piece of work; single kernels always on
 * one. A number is the median of several runs. What would take longer than
 * its share of the time, or more than half of the memory, is left out.
 *
 * Threads: the calling one. Ownership: plain values.
 */
#ifndef SLUICE_SERVER_BENCHMARK_H
#define SLUICE_SERVER_BENCHMARK_H

#include "base/err.h"
#include "model/kernels/trial.h"
#include "model/tally.h"
#include "server/model_setup.h"

#include <stddef.h>

enum {
    BENCHMARK_SIZES = 4,
    BENCHMARK_USUAL = 1, /* the size that is the model's default */
    BENCHMARK_BATCHES = 5,
    BENCHMARK_SHAPES = 8,     /* of products that are timed alone */
    BENCHMARK_ROW_COUNTS = 6, /* each with so many numbers of rows */
    BENCHMARK_TRIALS = BENCHMARK_SHAPES * BENCHMARK_ROW_COUNTS + TRIAL_KIND_COUNT
};

extern const size_t benchmark_batches[BENCHMARK_BATCHES];

/* One kind of work. runs 0: left out. */
struct benchmark_work {
    size_t runs;
    double seconds;     /* the median */
    struct tally tally; /* of one run; each shape's time is its median */
};

struct benchmark_size {
    size_t width, height, tokens; /* pixels; latent tokens */
    struct benchmark_work rounds[BENCHMARK_BATCHES], decode;
};

struct benchmark_trial {
    struct trial trial;
    double seconds;
};

struct benchmark {
    size_t threads;
    double peak; /* operations a second of one core */
    struct benchmark_work encode;
    struct benchmark_size sizes[BENCHMARK_SIZES];
    struct benchmark_trial trials[BENCHMARK_TRIALS];
    size_t n_trials;
};

/* The model is loaded. Takes about so many seconds, but that an encode, a round and a
 * decode of the default size are measured however long they take. */
enum err_code benchmark_run(struct benchmark *out,
                            const struct model_setup *setup,
                            const struct kernels *kernels,
                            size_t threads,
                            double seconds,
                            struct err *err);

/* Seconds and operations of a picture of so many evaluations (one at a time): encode,
 * evaluations and decode. False when one of them was left out. */
bool benchmark_request(const struct benchmark *benchmark,
                       size_t size,
                       unsigned evaluations,
                       double *seconds,
                       double *operations);

#endif
