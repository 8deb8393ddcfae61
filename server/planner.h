/*
 * planner - which of the running jobs go into which round next: what is ready, in order
 * of due, laid before the batcher, and its plan turned into rounds.
 *
 * Threads: the engine's. Ownership: jobs are borrowed.
 */
#ifndef SLUICE_SERVER_PLANNER_H
#define SLUICE_SERVER_PLANNER_H

#include "base/err.h"
#include "server/batcher.h"
#include "server/roster.h"
#include "server/round.h"

#include <stddef.h>
#include <stdint.h>

struct planner {
    size_t n; /* that are ready */
    struct job **jobs;
    struct batcher_ready *ready;
    int *rounds; /* the number of each one's */
};

/* For at most so many running jobs. */
enum err_code planner_init(struct planner *planner, size_t most, struct err *err);
void planner_finish(struct planner *planner);

/* What is there to be planned for. */
struct planner_view {
    const struct roster *roster;
    const struct served_model *model; /* that most jobs have: its limits hold */
    size_t workers, free_workers;
    size_t batch; /* requests that a step round has at present */
    uint64_t now;
};

/* Returns how many rounds there are, at most one a free worker. */
size_t planner_plan(struct planner *planner, const struct planner_view *view);

/* Jobs of the plan that are in no round. */
size_t planner_count_waiting(const struct planner *planner);

/* Puts the jobs of the round of this number into it. */
void planner_fill(const struct planner *planner, size_t number, struct round *round);

#endif
