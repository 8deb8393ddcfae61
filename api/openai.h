/*
 * openai - OpenAI's POST /v1/images/generations: its body as a request, and a problem as
 * its error object.
 *
 * OpenAI's fields mean what they mean there (openai/openai-openapi, CreateImageRequest).
 * Those that say how another model would do it better (quality, style, background,
 * moderation, output_compression, user) are known and without effect. seed, steps,
 * guidance and the like stand beside them under the names that other servers of this API
 * use: num_inference_steps, guidance_scale, rng_seed. null is as good as absent. Unknown
 * fields are refused.
 *
 * Threads: one at a time. Ownership: *out is new and the caller's (openai_finish).
 */
#ifndef SLUICE_API_OPENAI_H
#define SLUICE_API_OPENAI_H

#include "api/problem.h"
#include "api/request.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct openai_request {
    struct request request; /* with preview_every when partial images are asked for */
    bool is_stream;
    bool wants_links; /* response_format "url" */
};

/* What a request is checked against; all of it is borrowed. */
struct openai_setting {
    const struct request_limits *limits;
    const char *model_name, *model_digest; /* `model` may be either */
    bool has_links;                        /* whether there is a public URL */
};

/* As request_parse, for the same length. A `model` that is not loaded is
 * PROBLEM_NOT_FOUND. */
bool openai_parse(struct openai_request *out,
                  const char *body,
                  size_t length,
                  const struct openai_setting *setting,
                  uint32_t random_seed,
                  struct problem *problem);

void openai_finish(struct openai_request *request);

/* {"error": {"message": ..., "type": ..., "param": ..., "code": ...}} and a newline.
 * Without memory the buf fails. */
void openai_error_write(const struct problem *problem, struct buf *out);

/* The problem's status, but 400 for what a client got wrong, as there. */
int openai_error_status(const struct problem *problem);

#endif
