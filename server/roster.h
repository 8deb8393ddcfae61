/*
 * roster - all jobs that the scheduler has: those that wait, in order of due, and those
 * that run.
 *
 * Threads: the engine's. Ownership: jobs are the scheduler's.
 */
#ifndef SLUICE_SERVER_ROSTER_H
#define SLUICE_SERVER_ROSTER_H

#include "base/err.h"
#include "base/list.h"
#include "server/admission.h"
#include "server/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct roster {
    struct list queued, running;
    size_t n_queued, n_running;
    size_t n_following; /* in no list here, but in those of the jobs that they follow */
    size_t memory;      /* bytes that all of them may come to hold */
    struct commitment *commitments; /* room for all */
};

/* For at most so many jobs. */
enum err_code roster_init(struct roster *roster, size_t most, struct err *err);
void roster_finish(struct roster *roster);

/* Puts those that wait in order again, after what they are due was changed. */
void roster_sort(struct roster *roster);

/* The job waits: behind those that are due no later. */
void roster_enter(struct roster *roster, struct job *job);

/* The job that is due first of those that wait; NULL when none does. */
struct job *roster_first_queued(const struct roster *roster);

/* A job that makes the same image as this one, by their tags, and whose round was not
 * told to stop; NULL when none does. */
struct job *roster_find(const struct roster *roster, const struct job *like);

/* It runs now. */
void roster_start(struct roster *roster, struct job *job);

/* It is gone. */
void roster_leave(struct roster *roster, struct job *job);

/* The first running job, and the one after it; NULL at the end. */
struct job *roster_first_running(const struct roster *roster);
struct job *roster_next_running(const struct roster *roster, const struct job *job);

/* Calls visit for every job, waiting ones last; it may end the job. */
void roster_visit(struct roster *roster,
                  void (*visit)(struct job *job, void *context),
                  void *context);

/* What is promised to all but the images of one request (NULL: to all), in order of due;
 * returns how many. */
size_t roster_commitments(struct roster *roster, const struct job *but);

/* Whether some running job that has steps to do is due much later than this one: by four
 * times this one's work, which makes it worth to run them side by side. */
bool roster_is_urgent(const struct roster *roster, const struct job *job);

/* The first deadline at which something is to be done; ADMISSION_NEVER without any. Of a
 * job in a round there is nothing to do when the round was told to stop, or when the
 * deadline has passed: others need the round, at whose end the job ends. */
uint64_t roster_next_deadline(const struct roster *roster, uint64_t now);

/* Worker-seconds of its own until a first one may be done: the least that any of those
 * that run has left, or the first of those that wait when none runs; 0 without any. */
double roster_next_end(const struct roster *roster);

/* Worker-seconds of work that all jobs have left. */
double roster_seconds_left(const struct roster *roster);

#endif
