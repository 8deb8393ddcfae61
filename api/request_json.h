/*
 * request_json - the body of POST /v1/generate as a request, or a problem.
 *
 * Strict: an unknown or a duplicate field is refused by name; nothing is silently
 * ignored.
 *
 * Threads: one at a time. Ownership: *out is new and the caller's (request_finish).
 */
#ifndef SLUICE_API_REQUEST_JSON_H
#define SLUICE_API_REQUEST_JSON_H

#include "api/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses a body of at most REQUEST_MAX_BYTES. random_seed is used when the body names
 * no seed. On false *problem says what was expected, what was found and where, and *out
 * is untouched. Malformed JSON, NaN, numbers that no double holds, duplicate keys and a
 * body that is no object are PROBLEM_MALFORMED with line and column; the rest is
 * PROBLEM_INVALID with the field. */
bool request_parse(struct request *out,
                   const char *body,
                   size_t length,
                   const struct request_limits *limits,
                   uint32_t random_seed,
                   struct problem *problem);

#endif
