/*
 * batcher - decides what the free workers do next: a pure function of what is ready.
 *
 * Finished latents are decoded first, since each frees its place and is somebody's
 * answer; then prompts are encoded, so that arrivals join at the next round; then the
 * workers that are left share all the steps that are ready, as evenly as limits allow
 * and in order of arrival. Nobody waits for a batch to fill.
 *
 * Threads: pure. Ownership: the caller's arrays.
 */
#ifndef SLUICE_SERVER_BATCHER_H
#define SLUICE_SERVER_BATCHER_H

#include <stdbool.h>
#include <stddef.h>

enum batcher_work { BATCHER_DECODE, BATCHER_ENCODE, BATCHER_STEP, BATCHER_WORK_COUNT };

/* Something that is ready; in the order in which it should come. */
struct batcher_ready {
    enum batcher_work work;
    size_t items;  /* velocities it wants of the next round; steps only */
    size_t tokens; /* latent tokens of all its items; steps only */
};

/* Of one round. A single request may go beyond items and tokens: it is then alone. */
struct batcher_limits {
    size_t jobs, items, tokens;
};

enum { BATCHER_WAIT = -1 };

/* Sets rounds[i] to the number of the round that takes ready[i], or BATCHER_WAIT, and
 * returns how many rounds there are: at most free_workers. All of a round do the same
 * work; decodes and encodes are rounds of one. */
size_t batcher_plan(const struct batcher_ready *ready,
                    size_t n,
                    size_t free_workers,
                    const struct batcher_limits *limits,
                    int *rounds);

#endif
