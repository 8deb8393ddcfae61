/*
 * reload - opens the model folder again while the old model serves, and puts it on the
 * shelf when it is ready. A folder that is broken, or for which there is no memory beside
 * the old model, leaves the old one serving; the log says why.
 *
 * Threads: start and finish by one thread; the work is done by a thread of its own.
 * Ownership: the struct is its owner's; what it points to is borrowed.
 */
#ifndef SLUICE_SERVER_RELOAD_H
#define SLUICE_SERVER_RELOAD_H

#include "server/engine.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/served_model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct reload {
    const struct options *options;
    struct model_shelf *shelf;
    struct engine *engine;
    struct metrics *metrics;
    pthread_t thread;
    bool has_thread; /* to be joined */
    atomic_bool is_under_way;
};

/* Begins; while one is under way another is refused, which the log says. */
void reload_start(struct reload *reload);

/* Waits for one that is under way. */
void reload_finish(struct reload *reload);

/* Whether one is under way: it is let go of then, and ends with the process. */
bool reload_leave(struct reload *reload);

#endif
