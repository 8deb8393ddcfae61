/*
 * batcher - decides what the free workers do next: a pure function of what is ready.
 *
 * Finished latents are decoded first, since each frees its place and is somebody's
 * answer; then prompts are encoded, so that arrivals join at the next round; then the
 * workers that are left share all the steps that are ready, as evenly as limits allow.
 * Within each, earlier due comes first. Nobody waits for a batch to fill. One worker is
 * left to the steps when a deadline among them does not bear that it waits for the round
 * of somebody who is due later.
 *
 * What is due: a request with a deadline at its deadline, any other when the longest
 * wait that the server allows is over, and its remaining work STRETCH times. So deadlines
 * come in their order, and less remaining work comes before more (which keeps the mean
 * time in the system low: Schrage, "A proof of the optimality of the shortest remaining
 * processing time discipline", 1968), but only over who came not much earlier: what is
 * due never moves away from a request, so that nobody starves.
 *
 * Threads: pure. Ownership: the caller's arrays.
 */
#ifndef SLUICE_SERVER_BATCHER_H
#define SLUICE_SERVER_BATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum batcher_work { BATCHER_DECODE, BATCHER_ENCODE, BATCHER_STEP, BATCHER_WORK_COUNT };

/* Something that is ready; in order of due. */
struct batcher_ready {
    enum batcher_work work;
    const void *model; /* a round is of one model */
    size_t items;      /* velocities it wants of the next round; steps only */
    size_t tokens;     /* latent tokens of all its items; steps only */
    double seconds;    /* that it adds to a round; steps only */
    double pace;       /* the longest round that its deadline bears; 0: any; steps only */
};

/* Of one round. A single request may go beyond items, tokens and seconds: it is then
 * alone. */
struct batcher_limits {
    size_t jobs, items, tokens;
    double seconds; /* a round cannot be interrupted: arrivals wait for it; 0: any */
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

/* When a request is due: deadline 0 is none; seconds are those of its remaining work.
 * Instants and max_wait are nanoseconds. */
uint64_t
batcher_due(uint64_t submitted, uint64_t deadline, double seconds, uint64_t max_wait);

#endif
