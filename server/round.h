/*
 * round - the piece of work that a worker does at a time: one request's prompts, one
 * velocity evaluation for a batch of requests, or one decode.
 *
 * Threads: filled and read by the engine's thread, executed by one worker in between,
 * which then owns the jobs in it. Ownership: jobs are borrowed from the engine.
 */
#ifndef SLUICE_SERVER_ROUND_H
#define SLUICE_SERVER_ROUND_H

#include "server/batcher.h"
#include "server/job.h"
#include "server/round_setting.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { ROUND_MAX_JOBS = 64 };

struct round {
    enum batcher_work work;
    const struct round_setting *setting; /* of the model that all its jobs have */
    size_t n;
    struct job *jobs[ROUND_MAX_JOBS];
    atomic_bool stop; /* ends the work at the next block */
    struct team team; /* opened before it is executed, closed when its work is done */

    enum err_code code; /* ERR_OK, or why all of its jobs fail */
    struct err err;
    uint64_t took; /* nanoseconds */
    bool helped;   /* an idle worker came: told by whoever sends helpers */
};

/* Does the work with the given scratch memory. Encoded contexts are left in the job, not
 * yet in the cache; a failure in round->code. */
void round_execute(struct round *round, struct arena *scratch);

#endif
