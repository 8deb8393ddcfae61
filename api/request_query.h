/*
 * request_query - the query of GET /v1/generate as a request, or a problem: the fields of
 * the POST, percent-encoded, and the model that must be loaded.
 *
 * What a GET asks for must be the same tomorrow, as its answer is cached: it needs a seed
 * and takes no deadline.
 *
 * Threads: one at a time. Ownership: *out is new and the caller's (request_finish).
 */
#ifndef SLUICE_API_REQUEST_QUERY_H
#define SLUICE_API_REQUEST_QUERY_H

#include "api/request.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum { REQUEST_MAX_QUERY = 8 * 1024, REQUEST_MODEL_SIZE = 65 };

/* Parses what stands behind the URL's "?", as it was sent (application/x-www-form-
 * urlencoded: "+" is a blank). model becomes the digest that the query's `model` names
 * (64 hex digits in lower case), empty when it names none. On false *problem says what is
 * wrong, and *out is untouched. A broken escape, a part without a name and a field that
 * comes twice are PROBLEM_MALFORMED with line 1 and the column in the query; the rest is
 * PROBLEM_INVALID with the field. */
bool request_query_parse(struct request *out,
                         char model[REQUEST_MODEL_SIZE],
                         const char *query,
                         size_t length,
                         const struct request_limits *limits,
                         struct problem *problem);

/* Appends the query of one image: every value that decides about it, defaults filled in,
 * in a fixed order and spelling, so that equal requests give equal text. The image is the
 * index-th of the request; model is a digest, NULL for none. */
void request_query_write(const struct request *request,
                         unsigned index,
                         const char *model,
                         struct buf *out);

#endif
