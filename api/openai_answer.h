/*
 * openai_answer - finished images in OpenAI's words: the answer of POST
 * /v1/images/generations, its stream's events, and GET /v1/models.
 *
 * What they have no word for stands beside: each image's seed, the steps.
 *
 * Threads: pure functions. Ownership: the caller's; without memory the buf fails.
 */
#ifndef SLUICE_API_OPENAI_ANSWER_H
#define SLUICE_API_OPENAI_ANSWER_H

#include "api/answer_json.h"
#include "api/problem.h"
#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

/* Borrowed. public_url (slashes at its end are left out; NULL: images go in as base64)
 * makes each of the request's n images a link to the GET that answers with it; answer's
 * images are not used then. */
struct openai_answer {
    const struct answer *answer;
    int64_t created; /* seconds since 1970 */
    size_t patch;    /* the model's: image tokens are patches */
    const char *public_url;
};

void openai_answer_write(const struct openai_answer *answer, struct buf *out);

/* The event image_generation.partial_image, of the index-th preview from 0; answer's
 * images are not used. */
void openai_event_partial(const struct openai_answer *answer,
                          const struct answer_image *preview,
                          unsigned index,
                          struct buf *out);

/* The event image_generation.completed, of answer's first image. */
void openai_event_completed(const struct openai_answer *answer, struct buf *out);

/* The event error, whose data is OpenAI's error object. */
void openai_event_error(const struct problem *problem, struct buf *out);

/* GET /v1/models: the one model. created: since when it is served. */
void openai_models_write(const char *name,
                         const char *digest,
                         int64_t created,
                         struct buf *out);

#endif
