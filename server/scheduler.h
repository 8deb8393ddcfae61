/*
 * scheduler - takes jobs from their admission to their end: who is let in, what the next
 * round is, and what a round's end means for the jobs in it. It starts nothing itself:
 *
 *     scheduler_take(s, job, now)                  a newcomer: queued, or refused
 *     n = scheduler_plan(s, free_workers, now)     how many rounds there are to do
 *     scheduler_fill(s, i, &round, now)            the i-th of them; somebody does it
 *     scheduler_end_round(s, &round, now)          it is done
 *     scheduler_check(s, now)                      who left, whose deadline passed
 *
 * Time comes as an argument, so that hours of traffic can be simulated in a test.
 *
 * Threads: the engine's. Ownership: a job is the scheduler's from scheduler_take until
 * its done callback, which is called once.
 */
#ifndef SLUICE_SERVER_SCHEDULER_H
#define SLUICE_SERVER_SCHEDULER_H

#include "base/err.h"
#include "server/batcher.h"
#include "server/context_cache.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/planner.h"
#include "server/roster.h"
#include "server/round.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scheduler_setting {
    size_t workers;
    size_t max_batch;     /* requests of a round, whatever the model */
    size_t queue;         /* jobs that may wait beyond those that run */
    size_t job_memory;    /* bytes that all jobs may hold together */
    uint64_t max_wait;    /* nanoseconds that a newcomer may have to wait */
    size_t context_cache; /* bytes */
    struct metrics *metrics;
    void (*ended)(void *context); /* one job has ended: called after its done callback */
    void *context;
};

struct scheduler {
    struct scheduler_setting setting;
    size_t places;                    /* jobs that run at a time */
    const struct served_model *model; /* whose contexts are cached; borrowed */
    struct roster roster;
    bool is_canceling;
    double batch; /* requests of a step round, lately */
    struct context_cache contexts;
    struct planner planner; /* for twice the places */
};

enum err_code scheduler_init(struct scheduler *scheduler,
                             const struct scheduler_setting *setting,
                             struct err *err);

/* No job may be left. Accepts a half-made one. */
void scheduler_finish(struct scheduler *scheduler);

/* Contexts are kept for this model from now on; jobs of another finish with theirs. It
 * lives until the next, or until the scheduler is finished. To be called before any job
 * is taken. */
void scheduler_use_model(struct scheduler *scheduler, const struct served_model *model);

void scheduler_take(struct scheduler *scheduler, struct job *job, uint64_t now);

/* Plans rounds for so many free workers; each must then be filled, in order, before
 * anything else is called. *waiting: jobs that are ready and in no round. */
size_t scheduler_plan(struct scheduler *scheduler,
                      size_t free_workers,
                      size_t *waiting,
                      uint64_t now);
void scheduler_fill(struct scheduler *scheduler,
                    size_t number,
                    struct round *round,
                    uint64_t now);
void scheduler_end_round(struct scheduler *scheduler,
                         const struct round *round,
                         uint64_t now);

/* Ends jobs that nobody waits for any more; the rounds of which nobody needs the result
 * are told to stop. */
void scheduler_check(struct scheduler *scheduler, uint64_t now);

/* Tells the gauges. */
void scheduler_publish(struct scheduler *scheduler);

/* Brings forecasts up to date with what rounds cost by now: about once a second. */
void scheduler_refresh(struct scheduler *scheduler);

/* Ends all jobs with 503, those in rounds when their round ends; refuses newcomers. */
void scheduler_cancel_all(struct scheduler *scheduler, uint64_t now);

#endif
