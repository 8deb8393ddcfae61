/*
 * guidance - classifier-free guidance: one want becomes two items of the batch, and
 * their two velocities become one.
 *
 * v = v_negative + scale (v_prompt - v_negative), as diffusers' klein pipeline has it
 * (pipeline_flux2_klein.py, step 7; Ho and Salimans 2022, eq. 6 with w = scale - 1).
 *
 * Threads: pure. Ownership: the caller's arrays.
 */
#ifndef SLUICE_SAMPLER_GUIDANCE_H
#define SLUICE_SAMPLER_GUIDANCE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a scale asks for the second evaluation at all. */
bool guidance_is_on(double scale);

/* prompt := negative + scale * (prompt - negative), n values each. */
void guidance_combine(double scale,
                      float *restrict prompt,
                      const float *restrict negative,
                      size_t n);

#endif
