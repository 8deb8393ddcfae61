/*
 * served_model - a model that requests are made for: opened, loaded, with what may be
 * asked of it and what its rounds cost; and the shelf on which the present one stands.
 *
 * A reload puts another one on the shelf. Requests that hold the old one finish with it,
 * and the last of them frees it.
 *
 * Threads: open by one thread. Hold, release and the shelf by any. `costs` belongs to
 * the engine's thread once the model was handed to it; the rest is constant. Ownership:
 * counted; served_model_open gives the first hold.
 */
#ifndef SLUICE_SERVER_SERVED_MODEL_H
#define SLUICE_SERVER_SERVED_MODEL_H

#include "api/request.h"
#include "base/err.h"
#include "server/cost_model.h"
#include "server/model_setup.h"
#include "server/round_setting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct served_model {
    struct model_setup setup;
    struct request_limits limits;
    struct round_setting round;
    struct batcher_limits rounds;
    struct cost_model costs;
    char *curve; /* of the folder's curve.json: quality by steps; NULL: there is none */
    int64_t opened; /* seconds since 1970 */
    atomic_size_t holds;
};

/* Opens and loads the folder that the options name, for this many workers (0: one a
 * processor), and measures what its rounds cost (calibration.h). before: the plan of
 * the model that it is to follow in service; NULL: none. */
enum err_code served_model_open(struct served_model **out,
                                const struct options *options,
                                size_t workers,
                                const struct memory_plan *before,
                                struct err *err);

struct served_model *served_model_hold(struct served_model *model);

/* NULL is accepted. */
void served_model_release(struct served_model *model);

/* Whether only the caller holds it. Of a model that stands on no shelf this stays so. */
bool served_model_has_one_holder(const struct served_model *model);

/* Where the present model stands. */
struct model_shelf {
    pthread_mutex_t lock;
    struct served_model *model;
};

/* Takes the caller's hold over. */
void model_shelf_init(struct model_shelf *shelf, struct served_model *model);
void model_shelf_finish(struct model_shelf *shelf);

/* The present model, held for the caller. */
struct served_model *model_shelf_take(struct model_shelf *shelf);

/* Takes the caller's hold over, and gives the shelf's hold on the one before back. */
void model_shelf_put(struct model_shelf *shelf, struct served_model *model);

#endif
