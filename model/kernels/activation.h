/*
 * activation - SiLU, alone and as a gate (Elfwing et al. 2018; Shazeer 2020, SwiGLU).
 *
 * Threads: pure. Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_KERNELS_ACTIVATION_H
#define SLUICE_MODEL_KERNELS_ACTIVATION_H

#include <stddef.h>

/* x := x / (1 + exp(-x)). */
void activation_silu(float *x, size_t n);

/* out[i] = silu(gate[i]) * up[i]; out may be gate or up. */
void activation_gated(const float *gate, const float *up, float *out, size_t n);

/* x[i] += gate[i] * y[i]: a block's result enters the residual stream. */
void activation_add_gated(float *restrict x,
                          const float *restrict gate,
                          const float *restrict y,
                          size_t n);

/* x[i] += y[i]. */
void activation_add(float *restrict x, const float *restrict y, size_t n);

#endif
