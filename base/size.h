/*
 * size - byte counts that cannot wrap around.
 *
 * Everything that is read from a file or a request is multiplied through these.
 * A result that does not fit becomes SIZE_MAX, which no allocation grants and no
 * file holds, so one check at the end of a computation is enough.
 *
 * Threads: pure functions. Ownership: none.
 */
#ifndef SLUICE_BASE_SIZE_H
#define SLUICE_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

static inline size_t size_multiply(size_t a, size_t b)
{
    return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

static inline size_t size_add(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The logarithm to base 2, rounded down; 0 for 0. */
static inline size_t size_log2(size_t value)
{
    size_t log = 0;
    while (value >>= 1)
        log++;
    return log;
}

#endif
