/*
 * noise - the standard normal values that torch.randn draws from
 * torch.Generator("cpu").manual_seed(seed), for float32.
 *
 * mt19937 (Matsumoto and Nishimura 1998, init_genrand) and Box-Muller, in the order of
 * ATen/native/cpu/DistributionTemplates.h: from 16 values on, normal_fill; below that
 * one value at a time with the pair's second value kept.
 *
 * Threads: pure. Ownership: the caller's array.
 */
#ifndef SLUICE_SAMPLER_NOISE_H
#define SLUICE_SAMPLER_NOISE_H

#include <stddef.h>
#include <stdint.h>

/* Fills values[0 .. n-1], within 4e-6 of torch's. */
void noise_fill(uint32_t seed, float *values, size_t n);

#endif
