/*
 * request - what one request asks for, as values in their ranges.
 *
 * request_json reads it from a body, request_query from a URL; both end with
 * request_check, so that each rule exists once.
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

enum {
    REQUEST_MAX_BYTES = 64 * 1024, /* of a body in JSON */
    REQUEST_MAX_CHARACTERS = 2000, /* of a prompt */
    REQUEST_MAX_IMAGES = 16,
    REQUEST_MAX_DEADLINE = 600000, /* milliseconds */
};

struct scheduler_config;

/* What the model, the operator and the form of the answer allow, and what a request that
 * names nothing gets. */
struct request_limits {
    unsigned max_steps;
    size_t max_pixels;
    size_t patch;                             /* sides are multiples of this */
    const struct scheduler_config *scheduler; /* the model's; NULL: any times do */
    bool is_distilled;
    bool allows_previews;     /* whether the answer may be an event stream */
    struct sampling defaults; /* seed is not used */
};

struct request {
    char *prompt;          /* UTF-8, NUL-terminated, no NUL inside; never NULL */
    char *negative_prompt; /* same */
    size_t prompt_bytes, negative_prompt_bytes;
    bool seed_was_given;
    struct sampling sampling;       /* of the first image; image i has seed + i */
    unsigned n;                     /* images, 1 to REQUEST_MAX_IMAGES */
    uint32_t deadline_milliseconds; /* from the request's last byte; 0: none */
    unsigned min_steps;             /* steps may be lowered to this; 0: they may not */
    unsigned preview_every;         /* steps; 0: no previews */
};

/* A request that names nothing: empty prompts, one image, the defaults, seed 0. Without
 * memory false with a problem; *out is untouched then. */
bool request_init(struct request *out,
                  const struct request_limits *limits,
                  struct problem *problem);

/* Gives a request without a seed one that leaves room for all its images. */
void request_draw_seed(struct request *request, uint32_t random_seed);

/* Every rule. On false *problem is PROBLEM_INVALID and names the field. */
bool request_check(const struct request *request,
                   const struct request_limits *limits,
                   struct problem *problem);

void request_finish(struct request *request);

#endif
