/*
 * scheduler_config - what a model's scheduler/scheduler_config.json says of its times:
 * plain values that the bundle reads and the sampler's schedule is computed from.
 *
 * Threads: constant after the bundle is open. Ownership: plain values.
 */
#ifndef SLUICE_MODEL_SCHEDULER_CONFIG_H
#define SLUICE_MODEL_SCHEDULER_CONFIG_H

#include <stdbool.h>

enum time_shift { TIME_SHIFT_EXPONENTIAL, TIME_SHIFT_LINEAR };

struct scheduler_config {
    double shift;         /* s of t' = s t / (1 + (s - 1) t), when not dynamic */
    bool dynamic_shift;   /* the shift follows from image size and steps */
    enum time_shift type; /* of the dynamic shift */
};

#endif
