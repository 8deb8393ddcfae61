/*
 * schedule - which request is due when: drawn before anything is sent, so that a server
 * which answers slowly is not asked less.
 *
 * Threads: one. Ownership: the options are borrowed.
 */
#ifndef SLUICE_TESTS_LOAD_SCHEDULE_H
#define SLUICE_TESTS_LOAD_SCHEDULE_H

#include "tests/load/load_options.h"

#include <stdbool.h>
#include <stdint.h>

/* One request, as planned. Instants are nanoseconds of clock_now. */
struct plan {
    uint64_t due;
    uint32_t seed;
    uint16_t mix;
    bool leaves;
};

struct schedule {
    const struct load_options *options;
    uint64_t random; /* the generator's state */
    uint64_t begin, planned;
    double next; /* seconds from begin, of an open loop */
};

void schedule_init(struct schedule *schedule,
                   const struct load_options *options,
                   uint64_t begin);

/* Whether nothing more will be sent. */
bool schedule_is_over(const struct schedule *schedule, uint64_t now);

/* When the next request of an open loop is due. */
uint64_t schedule_due(const struct schedule *schedule);

/* Draws the next request; in a closed loop it is due now. */
struct plan schedule_take(struct schedule *schedule, uint64_t now);

#endif
