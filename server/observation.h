/*
 * observation - what rounds and the ends of jobs tell the metrics.
 *
 * Threads: the engine's. Ownership: borrowed.
 */
#ifndef SLUICE_SERVER_OBSERVATION_H
#define SLUICE_SERVER_OBSERVATION_H

#include "server/job.h"
#include "server/metrics.h"
#include "server/round.h"

/* The round is about to be done. */
void observe_start(struct metrics *metrics, const struct round *round);

/* It was done. */
void observe_round(struct metrics *metrics, const struct round *round);

/* The job has its last state. */
void observe_end(struct metrics *metrics, const struct job *job);

#endif
