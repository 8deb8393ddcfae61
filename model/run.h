/*
 * run - what whoever calls into the model lends it for the length of one call.
 *
 * Threads: one worker at a time has it; `stop` may be set by any thread. Ownership: all
 * borrowed; whatever the call takes from `scratch` it gives back before it returns.
 */
#ifndef SLUICE_MODEL_RUN_H
#define SLUICE_MODEL_RUN_H

#include "base/arena.h"
#include "base/err.h"
#include "model/tally.h"
#include "model/team.h"

#include <stdatomic.h>

struct run {
    struct arena *scratch;
    const atomic_bool *stop; /* may be NULL; read between blocks: a true ends the call */
    struct team *team;       /* whoever helps; NULL: nobody */
    struct tally *tally;     /* in which layers are counted and timed; NULL: not */
};

/* ERR_CANCELED once the caller wants the call to end, else ERR_OK. */
static inline enum err_code run_check(const struct run *run, struct err *err)
{
    if (run->stop != NULL && atomic_load_explicit(run->stop, memory_order_relaxed))
        return err_set(err, ERR_CANCELED, "stopped by the caller");
    return ERR_OK;
}

#endif
