/*
 * dialect - how a resource's clients expect a problem to be told: this service's own form
 * (RFC 9457), OpenAI's or Automatic1111's.
 *
 * Threads: pure functions over a constant table. Ownership: the caller's.
 */
#ifndef SLUICE_API_DIALECT_H
#define SLUICE_API_DIALECT_H

#include "api/problem.h"
#include "base/buf.h"

enum dialect { DIALECT_OWN, DIALECT_OPENAI, DIALECT_SDAPI, DIALECT_COUNT };

/* The status, the body and its type. request_id may be NULL; without memory the buf
 * fails. */
int dialect_status(enum dialect dialect, const struct problem *problem);
void dialect_write(enum dialect dialect,
                   const struct problem *problem,
                   const char *request_id,
                   struct buf *out);
const char *dialect_content_type(enum dialect dialect);

#endif
