/*
 * answer - what is said about a finished image beside its pixels: headers, and the
 * `parameters` text inside the PNG.
 *
 * Threads: pure functions. Ownership: the caller's.
 */
#ifndef SLUICE_API_ANSWER_H
#define SLUICE_API_ANSWER_H

#include "api/request.h"
#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

/* What was done. Durations are in nanoseconds. */
struct answer_facts {
    unsigned steps, evaluations;
    size_t prompt_tokens, prompt_tokens_total,
        prompt_tokens_limit;                  /* used, asked, most */
    uint64_t queue, encode, stepping, decode; /* where the time went */
};

enum { ANSWER_HEADERS_MAX = 8 };

struct answer_header {
    const char *name;
    char value[192];
};

/* Sluice-Seed, Sluice-Steps, Sluice-Evaluations, Sluice-Model ("house; digest=<hex>"),
 * Sluice-Prompt-Tokens ("17/32"; "32/32; cut=45" when 45 tokens were cut to 32),
 * Server-Timing ("queue;dur=1.2, encode;dur=..., steps;dur=..., decode;dur=...", W3C
 * Server Timing, milliseconds). Returns how many were written. The values are printable
 * ASCII whatever the model's name is. */
size_t answer_headers(const struct answer_facts *facts,
                      const struct request *request,
                      const char *model_name,
                      const char *model_digest,
                      struct answer_header headers[ANSWER_HEADERS_MAX]);

/* The text as Automatic1111 writes it (modules/processing.py, create_infotext):
 * prompt, "Negative prompt: ..." when there is one, then "Steps: 20, Sampler: Euler,
 * CFG scale: 3, Seed: 7, Size: 128x128, Model hash: 0123456789, Model: house,
 * Version: sluice 0.1.0" for the version "0.1.0". The seed is the request's, that of its
 * first image: for another the caller passes a request with that image's seed. A name
 * with a comma, a colon or a newline is quoted as JSON. Appends UTF-8; without memory the
 * buf fails. */
void answer_parameters_text(const struct request *request,
                            const char *model_name,
                            const char *model_digest,
                            const char *version,
                            struct buf *out);

#endif
