/*
 * diffusion - a network that was trained as a diffusion model, served as a velocity of
 * the flow: a decorator of its own velocity, which is asked for something else.
 *
 * Threads: as the network's velocity. Ownership: borrows the schedule, and what the
 * network's velocity borrows.
 */
#ifndef SLUICE_MODEL_DIFFUSION_H
#define SLUICE_MODEL_DIFFUSION_H

#include "model/diffusion_schedule.h"
#include "model/velocity.h"

struct diffusion {
    struct velocity network; /* its v is a prediction, its t the network's own time */
    const struct diffusion_schedule *schedule;
};

/* The velocity, which borrows `diffusion`. From z = (a + s) x and the prediction o, with
 * v = noise - image throughout:
 *
 *     noise   v = (o - x) / (1 - t)
 *     image   v = (x - o) / t
 *     v       v = (2t - 1) x / r^2 + o / r,   r^2 = t^2 + (1 - t)^2 = 1 / (a + s)^2
 *
 * so that Euler's step is DDIM's (Song et al. 2021, eq. 12 with sigma = 0), and dpmpp_2m
 * DPM-Solver++(2M)'s, whatever the schedule. */
struct velocity diffusion_velocity(const struct diffusion *diffusion);

#endif
