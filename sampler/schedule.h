/*
 * schedule - the times at which a trajectory stands: steps + 1 values from noise (1, or
 * where a diffusion model's training began) down to exactly 0 (image).
 *
 * Threads: pure functions. Ownership: the caller's arrays.
 */
#ifndef SLUICE_SAMPLER_SCHEDULE_H
#define SLUICE_SAMPLER_SCHEDULE_H

#include "model/scheduler_config.h"

#include <stdbool.h>
#include <stddef.h>

/* Fills times[0 .. steps]. Equals, in float32, what diffusers' klein pipeline hands to
 * FlowMatchEulerDiscreteScheduler.set_timesteps (pipeline_flux2_klein.py, step 6, and
 * scheduling_flow_match_euler_discrete.py): 1 - i/steps, shifted either by the static
 * shift or dynamically with schedule_empirical_mu. `tokens` is the number of latent
 * tokens of the image.
 *
 * Of a diffusion model: the times of the training times that DDIMScheduler goes through
 * with its timestep_spacing; at most DIFFUSION_TRAINING_TIMES steps, else they do not
 * fall. The last step always leads to the image, as with set_alpha_to_one. */
void schedule_times(const struct scheduler_config *config,
                    unsigned steps,
                    size_t tokens,
                    float *times);

/* Whether each of these times is below the one before it, as solvers need. The
 * reference's dynamic shifts do not see to that: with e^mu so large that float32 does not
 * tell the first times apart (100 steps of 71,000 tokens), or a linear mu below 0 (300
 * steps of few), it steps by nothing, or backwards. */
bool schedule_falls(const struct scheduler_config *config, unsigned steps, size_t tokens);

/* By what normal noise is scaled to be the state at the first time t: 1 for a flow; for a
 * diffusion model, whose z is noise of variance 1 there, 1 / (a + s). */
float schedule_noise_scale(const struct scheduler_config *config, float t);

/* mu of the dynamic shift e^mu (compute_empirical_mu of the same file). Its jump at
 * 4,300 tokens is the reference's. */
double schedule_empirical_mu(size_t tokens, unsigned steps);

#endif
