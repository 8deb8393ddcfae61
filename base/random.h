/*
 * random - unpredictable bytes from the operating system, for seeds that nobody chose and
 * for request ids.
 *
 * Threads: any. Ownership: the caller's.
 */
#ifndef SLUICE_BASE_RANDOM_H
#define SLUICE_BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Once, before there are other threads (libsodium, "Usage"); false where the system has
 * no randomness to give. */
bool random_init(void);

void random_fill(void *data, size_t length);
uint32_t random_u32(void);

#endif
