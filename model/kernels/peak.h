/*
 * peak - the most arithmetic that one core can do: fused multiply-adds on values that
 * stay in registers, each chain independent of the others, so that nothing but the
 * multipliers limits it. The yardstick for all kernels of the same instruction set.
 *
 * Threads: pure. Ownership: none.
 */
#ifndef SLUICE_MODEL_KERNELS_PEAK_H
#define SLUICE_MODEL_KERNELS_PEAK_H

#include "model/kernels/kernels.h"

#include <stddef.h>

/* Chains of one loop: more than latency times units of today's cores (4 cycles times 2),
 * and few enough for sixteen registers. */
enum { PEAK_CHAINS = 12 };

/* Floating-point operations a second of the calling thread, with the instructions that
 * the kernels use; for OpenBLAS with the widest that this processor has. The highest of
 * `trials` trials of about a millisecond: whatever disturbs one makes it lower. */
double peak_measure(const struct kernels *kernels, size_t trials);

/* PEAK_CHAINS chains of `length` fused multiply-adds on each lane of a vector; *sink
 * becomes what they end in. Returns the operations done, two for each lane's. */
double peak_scalar(size_t length, float *sink);
double peak_avx2(size_t length, float *sink);
double peak_avx512(size_t length, float *sink);

#endif
