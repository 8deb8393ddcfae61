/*
 * random - unpredictable bytes from the operating system, for seeds that nobody chose and
 * for request ids.
 *
 * Threads: any. Ownership: the caller's.
 */
#ifndef SLUICE_BASE_RANDOM_H
#define SLUICE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_fill(void *data, size_t length);
uint32_t random_u32(void);

#endif
