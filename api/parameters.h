/*
 * parameters - the text inside of a PNG (answer_parameters_text) back as a request.
 *
 * Threads: pure. Ownership: *out is new and the caller's (parameters_finish).
 */
#ifndef SLUICE_API_PARAMETERS_H
#define SLUICE_API_PARAMETERS_H

#include "api/problem.h"
#include "api/request.h"

#include <stdbool.h>

enum { PARAMETERS_HASH_SIZE = 11, PARAMETERS_VERSION_SIZE = 40 };

struct parameters {
    struct request request;
    char model_hash[PARAMETERS_HASH_SIZE]; /* the first digits of the model's digest */
    char version[PARAMETERS_VERSION_SIZE]; /* "sluice 0.1.0"; empty when not said */
};

/* On false *problem is PROBLEM_INVALID and names the part of the text in its own words
 * ("CFG scale"), or "parameters" for the whole; *out is untouched. */
bool parameters_read(struct parameters *out,
                     const char *text,
                     const struct request_limits *limits,
                     struct problem *problem);

void parameters_finish(struct parameters *parameters);

/* Whether the model that made the image is the one that is loaded, else
 * PROBLEM_INVALID. */
bool parameters_check_model(const struct parameters *parameters,
                            const char *model_digest,
                            struct problem *problem);

#endif
