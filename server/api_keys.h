/*
 * api_keys - who may ask: a file of names, digests of keys, and rates.
 *
 *     # name   SHA-256 of the key   evaluations x pixels a second, and at once
 *     shop     9f86d081884c...0a08  655360  39321600
 *     editor   60303ae22b99...6752
 *
 * Fields are separated by blanks. A name is 1 to 64 of [A-Za-z0-9._-]. Without a rate a
 * key is not limited; without the last field the bucket holds a minute of the rate. Empty
 * lines and those that begin with # are skipped.
 *
 * Threads: made by one, then one at a time, as keys hold their buckets. Ownership: new
 * from api_keys_open, freed by api_keys_close; keys are borrowed from it.
 */
#ifndef SLUICE_SERVER_API_KEYS_H
#define SLUICE_SERVER_API_KEYS_H

#include "base/digest.h"
#include "base/err.h"
#include "server/token_bucket.h"

#include <stdbool.h>
#include <stdint.h>

enum { API_KEY_NAME_SIZE = 65 };

struct api_key {
    char name[API_KEY_NAME_SIZE];
    char digest[DIGEST_TEXT_SIZE];
    bool is_limited;
    struct token_bucket bucket; /* of evaluations x pixels, if it is limited */
};

struct api_keys;

/* The message of a failure names the line, and nothing that stands in it. */
enum err_code
api_keys_open(struct api_keys **out, const char *path, uint64_t now, struct err *err);

/* The same from text, for which `source` stands in messages. */
enum err_code api_keys_parse(struct api_keys **out,
                             const char *text,
                             const char *source,
                             uint64_t now,
                             struct err *err);

/* NULL is accepted. */
void api_keys_close(struct api_keys *keys);

/* The key of an Authorization header's value, "Bearer <key>" (RFC 6750, section 2.1);
 * NULL when it is none of them, or authorization is NULL. Takes as long for each key. */
struct api_key *api_keys_find(struct api_keys *keys, const char *authorization);

#endif
