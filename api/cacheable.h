/*
 * cacheable - what makes the answer of GET /v1/generate a thing that caches keep: its
 * entity tag (RFC 9110, section 8.8.3), conditions on it, and Cache-Control (RFC 9111).
 *
 * Only image/png is: JSON and events hold times, which differ from answer to answer.
 *
 * Threads: pure functions. Ownership: the caller's.
 */
#ifndef SLUICE_API_CACHEABLE_H
#define SLUICE_API_CACHEABLE_H

#include "api/problem.h"
#include "api/request.h"

#include <stdbool.h>

/* Everything beside the request that decides about an image's bytes. */
struct cacheable_build {
    const char *model_name, *model_digest;
    const char *version;    /* of this program */
    const char *arithmetic; /* the same word, the same bits on any machine */
    bool has_text;          /* whether the PNG carries its parameters */
};

enum { CACHEABLE_TAG_SIZE = 35 }; /* 32 hex digits, quotes and the NUL */

/* The strong entity tag, with its quotes. Without memory false with a problem. */
bool cacheable_tag(char tag[CACHEABLE_TAG_SIZE],
                   const struct request *request,
                   const struct cacheable_build *build,
                   struct problem *problem);

/* Whether an If-None-Match header (NULL: absent; all lines joined) names the tag, so that
 * 304 is the answer: "*", or a list of tags that compare weakly (section 13.1.2). What
 * stands behind a malformed tag is not read. */
bool cacheable_matches(const char *if_none_match, const char *tag);

/* The value of Cache-Control. is_pinned: the query names its model, so that the answer
 * never changes. is_private: keys are asked for, so that shared caches must not keep it.
 */
const char *cacheable_control(bool is_pinned, bool is_private);

/* Of answers that no cache may keep. */
#define CACHEABLE_NEVER "no-store"

/* Whether the model that a query names ("": none) is the one that is loaded; else
 * PROBLEM_NOT_FOUND. */
bool cacheable_check_model(const char *asked,
                           const char *loaded,
                           struct problem *problem);

#endif
