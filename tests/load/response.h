/*
 * response - an HTTP/1.1 answer that arrives in pieces (RFC 9112): the little of it that
 * a load generator has to know.
 *
 * Threads: one at a time. Ownership: everything is inside.
 */
#ifndef SLUICE_TESTS_LOAD_RESPONSE_H
#define SLUICE_TESTS_LOAD_RESPONSE_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum response_state { RESPONSE_MORE, RESPONSE_DONE, RESPONSE_MALFORMED };

enum { RESPONSE_HEAD_MAX = 8192 };

struct response {
    char head[RESPONSE_HEAD_MAX + 1];
    size_t head_length;
    bool has_head, has_length, closes;
    int status;
    uint64_t length, received; /* of the body */
    int64_t retry_after;       /* seconds; -1: no such header */
    uint32_t steps;            /* that were used; 0: no such header */
    struct digest digest;      /* of the body */
};

void response_begin(struct response *response);

/* Takes the next bytes. Nothing may follow the answer, as there is no pipelining. */
enum response_state
response_add(struct response *response, const char *data, size_t length);

/* The connection has ended: an answer without a length is done then. */
enum response_state response_end(const struct response *response);

#endif
