/*
 * half - 16-bit floating-point numbers as float32, exactly.
 *
 * Threads: pure. Ownership: none.
 */
#ifndef SLUICE_MODEL_KERNELS_HALF_H
#define SLUICE_MODEL_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float half_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* bfloat16: the upper half of a float32. */
static inline float half_from_brain(uint16_t brain)
{
    return half_from_bits((uint32_t)brain << 16);
}

/* IEEE 754 binary16; the subnormals are multiples of 2^-24. */
static inline float half_from_binary16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1Fu, mantissa = half & 0x3FFu;
    if (exponent == 0) {
        float magnitude = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    if (exponent == 0x1F)
        return half_from_bits(sign | 0x7F800000u | mantissa << 13);
    return half_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

#endif
