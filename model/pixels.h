/*
 * pixels - the autoencoder's values as 8-bit colours.
 *
 * Source: diffusers, image_processor.py (denormalize, pt_to_numpy, numpy_to_pil): clamp
 * (x / 2 + 0.5) to 0 .. 1, times 255, rounded half to even.
 *
 * Threads: pure. Ownership: the caller's arrays.
 */
#ifndef SLUICE_MODEL_PIXELS_H
#define SLUICE_MODEL_PIXELS_H

#include <stddef.h>
#include <stdint.h>

void pixels_to_bytes(const float *values, size_t n, uint8_t *bytes);

#endif
