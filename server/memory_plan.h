/*
 * memory_plan - how much memory a model and its workers take, before it is taken.
 *
 * Threads: pure. Ownership: plain values.
 */
#ifndef SLUICE_SERVER_MEMORY_PLAN_H
#define SLUICE_SERVER_MEMORY_PLAN_H

#include "base/err.h"
#include "model/bundle.h"

#include <stddef.h>
#include <stdint.h>

struct memory_plan {
    struct bundle_load_limits limits;
    size_t workers;
    size_t weights;  /* bytes, of all parts */
    size_t scratch;  /* bytes, of each worker */
    size_t images;   /* bytes, of a finished image's values, each worker */
    size_t contexts; /* bytes, of cached prompts */
    size_t beside;   /* bytes, of another model that is served until this one is ready */
    size_t total;
};

/* max_batch requests a round, each two velocities under guidance; a round's latent tokens
 * are limited so that scratch stays near that of one largest image. max_pixels is at
 * most the model's own limit, which 0 stands for. */
struct memory_plan memory_plan_make(const struct bundle *bundle,
                                    size_t workers,
                                    size_t max_batch,
                                    size_t max_pixels,
                                    size_t contexts);

/* The model is to follow another one, in service: both have their weights until that
 * one's requests are done, and the workers' scratch does not shrink. */
void memory_plan_follow(struct memory_plan *plan, const struct memory_plan *before);

/* That one's requests are done. */
void memory_plan_stay(struct memory_plan *plan);

/* Bytes that are left for the requests under way. */
size_t memory_plan_for_jobs(const struct memory_plan *plan, uint64_t limit);

/* ERR_NO_MEMORY when the plan does not fit the limit: says both, and what to change. */
enum err_code
memory_plan_check(const struct memory_plan *plan, uint64_t limit, struct err *err);

#endif
