/*
 * model_setup - a model opened under the options: checked, planned into memory, and
 * loaded; and what a request to it may ask for.
 *
 * Threads: by one thread at start; constant afterwards. Ownership: the setup owns the
 * bundle until model_setup_finish.
 */
#ifndef SLUICE_SERVER_MODEL_SETUP_H
#define SLUICE_SERVER_MODEL_SETUP_H

#include "api/request.h"
#include "base/err.h"
#include "model/bundle.h"
#include "server/memory_plan.h"
#include "server/options.h"

#include <stdint.h>

struct model_setup {
    struct bundle *bundle;
    struct memory_plan plan;
    uint64_t memory_limit; /* bytes */
};

/* Opens the folder and makes the plan for this many workers (0: one a processor); reads
 * no weights, and does not judge the plan. */
enum err_code model_setup_open(struct model_setup *setup,
                               const struct options *options,
                               size_t workers,
                               struct err *err);

/* Judges the plan, then reads the weights. */
enum err_code model_setup_load(struct model_setup *setup, struct err *err);

/* For a command that works on one image at a time: opens the folder for one worker, with
 * no contexts kept, does the work and closes it. Returns the process's exit status; the
 * reason for 1 is on stderr. */
int model_setup_run_alone(const struct options *options,
                          enum err_code (*work)(struct model_setup *setup,
                                                const struct options *alone,
                                                struct err *err));

/* Accepts a setup that is zero or half open. */
void model_setup_finish(struct model_setup *setup);

/* Pixels a side of the model's default, halved until they are within the limits. */
void model_setup_usual_size(const struct model_setup *setup,
                            size_t *width,
                            size_t *height);

/* What requests may ask for. Where the options allow less than the model's defaults,
 * these are lowered: a request that names nothing is always served. */
struct request_limits model_setup_limits(const struct model_setup *setup,
                                         const struct options *options);

#endif
