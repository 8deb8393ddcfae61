/*
 * answer_json - finished images and what was done for them as one JSON object.
 *
 *   {"id": "...", "model": {"name": "house", "digest": "..."},
 *    "width": 128, "height": 128, "solver": "euler", "guidance": 3.0,
 *    "steps": 20, "evaluations": 40,
 *    "prompt_tokens": {"used": 17, "limit": 32, "total": 17, "is_cut": false},
 *    "timing_ms": {"queue": 0.1, "encode": 2.0, "steps": 80.5, "decode": 3.1},
 *    "images": [{"index": 0, "seed": 7, "media_type": "image/png", "base64": "..."}]}
 *
 * Threads: pure functions. Ownership: the caller's; without memory the buf fails.
 */
#ifndef SLUICE_API_ANSWER_JSON_H
#define SLUICE_API_ANSWER_JSON_H

#include "api/answer.h"
#include "api/request.h"
#include "base/buf.h"

#include <stddef.h>

/* An image file, of the index-th trajectory of its request. */
struct answer_image {
    const void *png;
    size_t length;
    unsigned index;
};

/* All of it is borrowed. */
struct answer {
    const char *request_id, *model_name, *model_digest;
    const struct request *request;
    const struct answer_facts *facts;
    const struct answer_image *images;
    size_t image_count;
};

void answer_json_write(const struct answer *answer, struct buf *out);

/* Appends the two members that hold an image file: "media_type" and "base64". */
void answer_json_file(const struct answer_image *image, struct buf *out);

#endif
