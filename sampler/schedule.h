/*
 * schedule - the times at which a trajectory stands: steps + 1 values from 1 (noise)
 * down to exactly 0 (image).
 *
 * Threads: pure functions. Ownership: the caller's arrays.
 */
#ifndef SLUICE_SAMPLER_SCHEDULE_H
#define SLUICE_SAMPLER_SCHEDULE_H

#include "model/scheduler_config.h"

#include <stddef.h>

/* Fills times[0 .. steps]. Equals, in float32, what diffusers' klein pipeline hands to
 * FlowMatchEulerDiscreteScheduler.set_timesteps (pipeline_flux2_klein.py, step 6, and
 * scheduling_flow_match_euler_discrete.py): 1 - i/steps, shifted either by the static
 * shift or dynamically with schedule_empirical_mu. `tokens` is the number of latent
 * tokens of the image. */
void schedule_times(const struct scheduler_config *config,
                    unsigned steps,
                    size_t tokens,
                    float *times);

/* mu of the dynamic shift e^mu (compute_empirical_mu of the same file). Its jump at
 * 4,300 tokens is the reference's. */
double schedule_empirical_mu(size_t tokens, unsigned steps);

#endif
