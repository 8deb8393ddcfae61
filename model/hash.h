/*
 * hash - what the tokenizer's open-addressing tables share: how many slots, and where to
 * start looking. Collisions go to the next slot.
 *
 * The tables are filled from a model's files when it is opened and only read afterwards,
 * so the functions aim at speed; they do not defend against chosen keys.
 *
 * Threads: pure functions. Ownership: none.
 */
#ifndef SLUICE_MODEL_HASH_H
#define SLUICE_MODEL_HASH_H

#include "base/size.h"

#include <stddef.h>
#include <stdint.h>

/* A power of two that `count` entries fill to three quarters at most, so that every
 * search ends at an empty slot. */
static inline size_t hash_slots(size_t count)
{
    size_t slots = 8;
    while (slots < SIZE_MAX / 2 && size_multiply(slots, 3) < size_multiply(count, 4))
        slots *= 2;
    return slots;
}

/* FNV-1a, 64 bits (RFC 9923). */
static inline uint64_t hash_bytes(const char *data, size_t length)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)data[i]) * UINT64_C(0x100000001B3);
    return hash ^ hash >> 32;
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
 * number generators") over both ids. */
static inline uint64_t hash_pair(uint32_t left, uint32_t right)
{
    uint64_t hash = (uint64_t)left << 32 | right;
    hash = (hash ^ hash >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94D049BB133111EB);
    return hash ^ hash >> 31;
}

#endif
