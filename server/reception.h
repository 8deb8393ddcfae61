/*
 * reception - what becomes of a request that comes to the scheduler: whether it is let
 * in, with how many steps, and what its images are forecast to cost.
 *
 * All images of a request are one decision, its first image's.
 *
 * Threads: the engine's. Ownership: jobs are the scheduler's.
 */
#ifndef SLUICE_SERVER_RECEPTION_H
#define SLUICE_SERVER_RECEPTION_H

#include "server/scheduler.h"
#include "server/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Requests that a step round has at present, by which steps are priced. */
size_t reception_batch(const struct scheduler *scheduler);

/* Whether so many more may wait or run. Those that wait for another's image count: each
 * has a connection open. */
bool reception_has_room(const struct scheduler *scheduler, size_t images);

/* The first image of a newcomer, or an estimate: `admission` is filled in, and `problem`
 * when it is refused. */
enum refusal
reception_consider(struct scheduler *scheduler, struct job *job, uint64_t now);

/* The steps were chosen when the request came; before the first one they are chosen
 * again, since others may have been slower or faster than was predicted: the first time
 * for all images, which keep them. */
void reception_correct(struct scheduler *scheduler, struct job *job, uint64_t now);

/* The job's cost and place in the order, by what is known now. */
void reception_forecast(const struct scheduler *scheduler, struct job *job);

#endif
