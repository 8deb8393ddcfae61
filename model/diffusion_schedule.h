/*
 * diffusion_schedule - how much noise a diffusion model saw at its training times, and
 * how its answers are to be read: what scheduler_config.json of diffusers' DDPMScheduler
 * and DDIMScheduler says.
 *
 * At training time k the model saw z = a image + s noise with a^2 + s^2 = 1, where a^2 is
 * diffusers' alphas_cumprod[k]. The flow's state x = (1 - t) image + t noise is the same
 * mixture on another scale: s/a = t/(1 - t), z = (a + s) x ("Diffusion Meets Flow
 * Matching", ICLR blog posts 2025), so t = s/(a + s), which is finite even where nothing
 * of the image is left.
 *
 * Threads: constant once read. Ownership: plain values.
 */
#ifndef SLUICE_MODEL_DIFFUSION_SCHEDULE_H
#define SLUICE_MODEL_DIFFUSION_SCHEDULE_H

#include "model/config.h"

enum { DIFFUSION_TRAINING_TIMES = 1000 };

enum diffusion_prediction {
    PREDICTION_NOISE, /* "epsilon" (Ho et al. 2020) */
    PREDICTION_V,     /* "v_prediction": a noise - s image (Salimans and Ho 2022) */
    PREDICTION_IMAGE  /* "sample" */
};

/* Which training times a sampler of few steps goes through (table 2 of arXiv 2305.08891).
 */
enum diffusion_spacing { SPACING_LEADING, SPACING_LINSPACE, SPACING_TRAILING };

struct diffusion_schedule {
    enum diffusion_prediction prediction;
    enum diffusion_spacing spacing;
    unsigned steps_offset;                  /* of SPACING_LEADING */
    double times[DIFFUSION_TRAINING_TIMES]; /* the flow's of each k: rising, in (0, 1] */
};

/* Refuses, by the config's own means, what is not supported. */
void diffusion_schedule_read(struct diffusion_schedule *schedule, struct config *config);

/* What the network takes as its time when the flow stands at t: k/1000, with k between
 * training times where t is. */
double diffusion_schedule_network_time(const struct diffusion_schedule *schedule,
                                       double t);

#endif
