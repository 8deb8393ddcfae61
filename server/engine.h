/*
 * engine - takes jobs to their end: a libuv loop on whose thread the scheduler decides,
 * and a pool of workers that do its rounds.
 *
 *   http thread     engine_submit -> list, uv_async_send
 *   engine thread   scheduler_take; scheduler_plan over all that is ready; a round to
 *                   each free worker; scheduler_end_round; done()
 *
 *   workers         round_execute, each with its own scratch memory
 *
 * Threads: create, drain, stop and destroy by one thread; submit, abandon and the
 * readings by any. Ownership: new from engine_create, freed by engine_destroy. A
 * submitted job is the engine's until its done callback.
 */
#ifndef SLUICE_SERVER_ENGINE_H
#define SLUICE_SERVER_ENGINE_H

#include "base/err.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/scheduler.h"
#include "server/served_model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;

/* Starts the engine's thread and its pool, for this model first. setting->ended and
 * context are the engine's own. UV_THREADPOOL_SIZE must have been set to
 * engine_pool_size(workers) before any use of libuv. */
enum err_code engine_create(struct engine **out,
                            const struct scheduler_setting *setting,
                            struct served_model *model,
                            struct err *err);

/* Threads that libuv's pool needs: the workers, and one for what libuv does itself. */
size_t engine_pool_size(size_t workers);

/* Hands jobs over, which are taken one after the other with nothing in between; the done
 * callback of each will be called exactly once, soon when it is not let in. ERR_CANCELED
 * when the engine is stopping: then the jobs stay the caller's and done is never called.
 */
enum err_code
engine_submit(struct engine *engine, struct job *const *jobs, size_t n, struct err *err);

/* The job's client has left: its work ends within one round, of which nobody else's
 * answer changes; done is called as ever. By any thread, while the job is the engine's.
 */
void engine_abandon(struct engine *engine, struct job *job);

/* The same, because another image of the job's request was not made. */
void engine_drop(struct engine *engine, struct job *job);

/* From now on this is the model that most jobs have. */
void engine_use_model(struct engine *engine, struct served_model *model);

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
