/*
 * sdapi - Automatic1111's POST /sdapi/v1/txt2img: its body as a request, and a problem in
 * its words.
 *
 * The fields that decide about an image are read and checked as everywhere; all others
 * are ignored, as there: its clients send dozens of them (modules/api/models.py).
 *
 * Threads: one at a time. Ownership: *out is new and the caller's (request_finish).
 */
#ifndef SLUICE_API_SDAPI_H
#define SLUICE_API_SDAPI_H

#include "api/problem.h"
#include "api/request.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As request_parse, for the same length. prompt, negative_prompt, seed (-1: random),
 * steps, cfg_scale, width, height, sampler_name or else sampler_index, batch_size times
 * n_iter images; null is as good as absent. */
bool sdapi_parse(struct request *out,
                 const char *body,
                 size_t length,
                 const struct request_limits *limits,
                 uint32_t random_seed,
                 struct problem *problem);

/* PROBLEM_INVALID as FastAPI's validation puts it ({"detail": [{"loc": ["body", field],
 * "msg": ..., "type": ...}]}), all others as modules/api/api.py does ({"error": ...,
 * "detail": ..., "body": "", "errors": ""}); a newline. Without memory the buf fails. */
void sdapi_error_write(const struct problem *problem, struct buf *out);

#endif
