/*
 * sdapi_answer - finished images, progress, and the lists that Automatic1111's clients
 * ask for, in its words (modules/api/models.py).
 *
 * Threads: pure functions. Ownership: the caller's; without memory the buf fails.
 */
#ifndef SLUICE_API_SDAPI_ANSWER_H
#define SLUICE_API_SDAPI_ANSWER_H

#include "api/answer_json.h"
#include "base/buf.h"

#include <stdint.h>

/* {"images": [base64], "parameters": {...}, "info": "<JSON>"}. version: of this program,
 * for the infotexts. */
void sdapi_answer_write(const struct answer *answer,
                        const char *version,
                        struct buf *out);

/* The oldest of the requests that run; all 0 when none does. */
struct sdapi_progress {
    unsigned step, steps;
    uint64_t eta_milliseconds;
};

void sdapi_progress_write(const struct sdapi_progress *progress, struct buf *out);
void sdapi_options_write(const char *model_name,
                         const char *model_digest,
                         struct buf *out);
void sdapi_models_write(const char *model_name,
                        const char *model_digest,
                        struct buf *out);
void sdapi_samplers_write(struct buf *out);

#endif
