/*
 * engine - takes jobs to their end: a libuv loop that owns all of them, and a pool of
 * workers that do their rounds.
 *
 *   http thread     engine_submit -> list, uv_async_send
 *   engine thread   QUEUED -> running, as places come free; batcher_plan over all that is
 *                   ready; a round to each free worker; results; done()
 *   workers         round_execute, each with its own scratch memory
 *
 * Threads: create, drain, stop and destroy by one thread; submit and the readings by any.
 * Ownership: new from engine_create, freed by engine_destroy. A submitted job is the
 * engine's until its done callback.
 */
#ifndef SLUICE_SERVER_ENGINE_H
#define SLUICE_SERVER_ENGINE_H

#include "base/err.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/round.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine_setting {
    struct round_setting round;
    struct batcher_limits limits;
    size_t workers;
    size_t scratch;       /* bytes, of each worker */
    size_t queue;         /* jobs that may wait beyond those that run */
    size_t context_cache; /* bytes */
    struct metrics *metrics;
};

struct engine;

/* Starts the engine's thread and its pool. UV_THREADPOOL_SIZE must have been set to
 * engine_pool_size(workers) before any use of libuv. */
enum err_code
engine_create(struct engine **out, const struct engine_setting *setting, struct err *err);

/* Threads that libuv's pool needs: the workers, and one for what libuv does itself. */
size_t engine_pool_size(size_t workers);

/* Hands a job over; its done callback will be called exactly once. ERR_BUSY when the
 * queue is full, ERR_CANCELED when the engine is stopping: then the job stays the
 * caller's and done is never called. */
enum err_code engine_submit(struct engine *engine, struct job *job, struct err *err);

/* Waits until no job is left, at most this long. True when none is. */
bool engine_wait_idle(struct engine *engine, uint64_t milliseconds);

/* Ends all jobs that are left with 503 and refuses new ones. Workers stop at the next
 * block; done callbacks have all run when engine_wait_idle says so. */
void engine_cancel_all(struct engine *engine);

/* Ends the thread; no job may be left. NULL is accepted. */
void engine_destroy(struct engine *engine);

/* Whether the engine's loop turned within the last ten seconds: it does so every second,
 * however long rounds take. */
bool engine_is_alive(const struct engine *engine);

#endif
