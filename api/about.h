/*
 * about - what a client may know before it asks for an image: GET /v1/model and POST
 * /v1/estimate.
 *
 * Threads: pure functions. Ownership: the caller's; without memory the buf fails.
 */
#ifndef SLUICE_API_ABOUT_H
#define SLUICE_API_ABOUT_H

#include "api/request.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed. */
struct about {
    const char *model_name, *model_digest;
    const char *version, *kernels;
    const struct request_limits *limits;
    size_t prompt_tokens; /* the most that count */
    const char *curve;    /* the JSON of the model's quality curve; NULL for none */
};

/* Name and digest, limits of every field, defaults, solvers with the evaluations that the
 * default steps take, and the curve as it is (null when it is none, or no JSON). */
void about_model_write(const struct about *about, struct buf *out);

struct about_estimate {
    bool would_be_admitted;
    unsigned retry_after;        /* seconds, when it would later; 0 otherwise */
    unsigned steps, evaluations; /* what the deadline would leave of them */
    uint64_t queue, run;         /* nanoseconds until it starts, and until it is done */
};

/* {"admitted": ..., "steps": ..., "evaluations": ..., "queue_ms": ..., "run_ms": ...,
 * "total_ms": ..., "retry_after": ...}, the last only when it would be later. */
void about_estimate_write(const struct about_estimate *estimate, struct buf *out);

#endif
