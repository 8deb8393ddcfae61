/*
 * forecast - what a job and its rounds will cost, by its model's costs.
 *
 * Threads: the engine's. Ownership: jobs are borrowed.
 */
#ifndef SLUICE_SERVER_FORECAST_H
#define SLUICE_SERVER_FORECAST_H

#include "server/admission.h"
#include "server/job.h"
#include "server/round.h"

#include <stddef.h>
#include <stdint.h>

/* Worker-seconds of all that is left of the job, in rounds of so many requests. */
double forecast_left(const struct job *job, size_t batch);

/* Bytes that the job may come to hold: its connection, trajectory, contexts and PNG. */
size_t forecast_memory(const struct job *job);

/* Seconds that the job adds to a round of so many requests. */
double forecast_step(const struct job *job, size_t batch);

/* The longest round that lets the job keep its deadline if all that follow are as long; 0
 * without a deadline. */
double forecast_pace(const struct job *job, uint64_t now);

/* The job as a newcomer: its least and its most steps. */
struct admission_ask forecast_ask(const struct job *job, size_t batch, uint64_t max_wait);

/* Tells the model what the round took. */
void forecast_learn(const struct round *round);

/* Images a second that so many workers make of a request that names nothing. */
double forecast_capacity(const struct served_model *model, size_t workers, size_t batch);

#endif
