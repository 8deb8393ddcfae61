#include "base/digest.h"

#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(((struct digest *)0)->state),
               "digest.h reserves too few bytes for libsodium's state");

static crypto_hash_sha256_state *state_of(struct digest *digest)
{
    return (crypto_hash_sha256_state *)(void *)digest->state;
}

void digest_init(struct digest *digest)
{
    (void)crypto_hash_sha256_init(state_of(digest));
}

void digest_add(struct digest *digest, const void *data, size_t length)
{
    (void)crypto_hash_sha256_update(state_of(digest), data, length);
}

void digest_finish(struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256_final(state_of(digest), hash);
    (void)sodium_bin2hex(text, DIGEST_TEXT_SIZE, hash, sizeof(hash));
}

bool digest_equal(const char a[DIGEST_TEXT_SIZE], const char b[DIGEST_TEXT_SIZE])
{
    return sodium_memcmp(a, b, DIGEST_TEXT_SIZE) == 0;
}
