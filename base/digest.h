/*
 * digest - SHA-256 (FIPS 180-4) of bytes that arrive in pieces, as lower-case hex.
 *
 * Threads: one at a time. Ownership: the state is inside, nothing is allocated.
 */
#ifndef SLUICE_BASE_DIGEST_H
#define SLUICE_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

enum { DIGEST_TEXT_SIZE = 65 }; /* 64 hex digits and the NUL */

struct digest {
    _Alignas(16) unsigned char state[128]; /* the library's, see digest.c */
};

void digest_init(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t length);
void digest_finish(struct digest *digest, char text[DIGEST_TEXT_SIZE]);

/* In a time that does not tell where two differ, for what is secret. */
bool digest_equal(const char a[DIGEST_TEXT_SIZE], const char b[DIGEST_TEXT_SIZE]);

#endif
