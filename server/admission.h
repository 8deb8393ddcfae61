/*
 * admission - whether a request that comes now can be promised an answer in time, and
 * with how many steps: a pure function of the work that was promised before.
 *
 * Work is counted in worker-seconds and done in order of `due`; the workers share it, so
 * that what lies before a request delays it by its sum divided by the workers. This is
 * the admission test of earliest-deadline-first scheduling (Liu and Layland 1973, for
 * one processor): a newcomer is let in when it is in time itself, and when nobody who was
 * promised a deadline misses it because of the newcomer.
 *
 * Threads: pure. Ownership: the caller's arrays.
 */
#ifndef SLUICE_SERVER_ADMISSION_H
#define SLUICE_SERVER_ADMISSION_H

#include <stddef.h>
#include <stdint.h>

/* No deadline. */
#define ADMISSION_NEVER UINT64_MAX

/* What somebody was promised. Instants are nanoseconds of clock_now(). */
struct commitment {
    uint64_t due, deadline;
    double seconds; /* of work that are left */
};

struct admission_ask {
    uint64_t due, deadline;
    double fixed, each_step;             /* worker-seconds under load */
    double alone_fixed, alone_each_step; /* seconds on an idle server */
    unsigned steps, min_steps;           /* the same when steps may not be lowered */
    unsigned images; /* that each cost so much, all with one deadline */
};

/* What the server is and promises. */
struct admission_limits {
    size_t workers;
    double max_wait; /* seconds before a request's own work may begin */
    double slack; /* seconds that a deadline keeps free: a round cannot be interrupted */
};

enum admission_outcome {
    ADMISSION_YES,
    ADMISSION_WAIT,      /* its work would begin too late: later perhaps */
    ADMISSION_LATE,      /* the deadline cannot be kept now: later perhaps */
    ADMISSION_IMPOSSIBLE /* nor on an idle server */
};

struct admission {
    enum admission_outcome outcome;
    unsigned steps;     /* the most that keep the deadline */
    double wait;        /* seconds until its own work begins */
    double finish;      /* seconds until its answer, with these steps */
    double fastest;     /* seconds on an idle server, with min_steps */
    double retry_after; /* seconds until asking again may succeed; 0 for YES */
};

/* before: what was promised, in order of due. */
struct admission admission_decide(const struct admission_ask *ask,
                                  const struct commitment *before,
                                  size_t n,
                                  const struct admission_limits *limits,
                                  uint64_t now);

#endif
