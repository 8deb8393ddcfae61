/*
 * scheduler_config - what a model's scheduler/scheduler_config.json says of its times:
 * plain values that the sampler's schedule is computed from.
 *
 * Threads: constant after scheduler_config_read. Ownership: plain values.
 */
#ifndef SLUICE_MODEL_SCHEDULER_CONFIG_H
#define SLUICE_MODEL_SCHEDULER_CONFIG_H

#include "base/err.h"
#include "model/diffusion_schedule.h"

#include <stdbool.h>

enum time_shift { TIME_SHIFT_EXPONENTIAL, TIME_SHIFT_LINEAR };

struct scheduler_config {
    const char *class_name; /* diffusers' */

    /* A flow (FlowMatchEulerDiscreteScheduler). */
    double shift;         /* s of t' = s t / (1 + (s - 1) t), when not dynamic */
    bool dynamic_shift;   /* the shift follows from image size and steps */
    enum time_shift type; /* of the dynamic shift */

    /* A diffusion model (DDIMScheduler, DDPMScheduler). */
    bool is_diffusion;
    struct diffusion_schedule diffusion;
};

/* Reads <folder>/scheduler_config.json; refuses what the sampler does not do. */
enum err_code
scheduler_config_read(struct scheduler_config *out, const char *folder, struct err *err);

#endif
