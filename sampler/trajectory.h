/*
 * trajectory - one image on its way from noise to latent: its schedule, its noise, its
 * solver and its guidance, behind two calls.
 *
 *     while ((n = trajectory_want(t, prompt, negative, items)) > 0) {
 *         velocity.eval(..., items, n, ...);
 *         trajectory_give(t);
 *     }
 *
 * Never calls the model: the items of many trajectories go into one batch.
 *
 * Threads: one at a time; it moves with its job from thread to thread. Ownership: new
 * from trajectory_create; everything an item points to is the trajectory's, except the
 * conditions.
 */
#ifndef SLUICE_SAMPLER_TRAJECTORY_H
#define SLUICE_SAMPLER_TRAJECTORY_H

#include "base/err.h"
#include "model/scheduler_config.h"
#include "model/velocity.h"
#include "sampler/sampling.h"

#include <stddef.h>

enum { TRAJECTORY_MAX_ITEMS = 2 };

struct trajectory;

/* patch: pixels a latent token is wide; channels: floats a latent token has. The noise
 * is drawn for [channels, height/patch, width/patch], as diffusers draws it. */
enum err_code trajectory_create(struct trajectory **out,
                                const struct sampling *sampling,
                                const struct scheduler_config *scheduler,
                                size_t patch,
                                size_t channels,
                                struct err *err);
void trajectory_destroy(struct trajectory *trajectory);

/* The velocities needed next: 0 when the image is finished, else 1, or 2 under guidance
 * (prompt first). negative may be NULL when guidance is off. Each item's v is where
 * the answer goes. */
size_t trajectory_want(const struct trajectory *trajectory,
                       const struct condition *prompt,
                       const struct condition *negative,
                       struct velocity_item items[TRAJECTORY_MAX_ITEMS]);

/* The wanted items have been evaluated: take the step. */
void trajectory_give(struct trajectory *trajectory);

unsigned trajectory_steps_done(const struct trajectory *trajectory);
unsigned trajectory_evaluations_done(const struct trajectory *trajectory);

/* Where the last velocity would lead in one straight step to t = 0, from the state that
 * is next to be evaluated: the picture as far as it can be seen. preview has as many
 * values as the latent, and their order. To be called after some trajectory_give, before
 * the image is finished. */
void trajectory_preview(const struct trajectory *trajectory, float *preview);

/* The latent after the last whole step, [height/patch * width/patch, channels];
 * borrowed. */
const float *trajectory_latent(const struct trajectory *trajectory);

#endif
