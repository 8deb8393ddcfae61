/*
 * request - the body of POST /v1/generate, as values in their ranges, or a problem.
 *
 * Strict: an unknown or a duplicate field, a wrong type and a value out of its range
 * are refused by name; nothing is silently ignored or corrected. A number such as 4.0
 * counts as an integer. Fields are rows of one table.
 *
 * Threads: one at a time. Ownership: the request owns its strings until request_finish.
 */
#ifndef SLUICE_API_REQUEST_H
#define SLUICE_API_REQUEST_H

#include "api/problem.h"
#include "sampler/sampling.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REQUEST_MAX_BYTES = 64 * 1024, REQUEST_MAX_CHARACTERS = 2000 };

/* What the model and the operator allow, and what a request that names nothing gets. */
struct request_limits {
    unsigned max_steps;
    size_t max_pixels;
    size_t patch; /* sides are multiples of this */
    bool is_distilled;
    struct sampling defaults; /* seed is not used */
};

struct request {
    char *prompt;          /* UTF-8, NUL-terminated, no NUL inside; never NULL */
    char *negative_prompt; /* same */
    size_t prompt_bytes, negative_prompt_bytes;
    bool seed_was_given;
    struct sampling sampling;
};

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

/* The same rules for values that did not come as JSON (the command line). request_parse
 * ends with this, so that each rule exists once. */
bool request_check(const struct request *request,
                   const struct request_limits *limits,
                   struct problem *problem);

void request_finish(struct request *request);

#endif
