/*
 * problem - a refusal in the words of RFC 9457 (application/problem+json).
 *
 * Every refusal's status is a row of one table (type, title,
 * status); a problem adds what was expected, what was found, and where.
 *
 * Threads: a struct problem belongs to its caller. Ownership: nothing is allocated.
 */
#ifndef SLUICE_API_PROBLEM_H
#define SLUICE_API_PROBLEM_H

#include "base/buf.h"

#include <stdbool.h>

#define PROBLEM_MAP(X)                                                                   \
    X(NONE, 200, "none", "No problem")                                                   \
    X(MALFORMED, 400, "malformed-request", "The request is malformed")                   \
    X(UNAUTHORIZED, 401, "unauthorized", "A valid API key is needed")                    \
    X(NOT_FOUND, 404, "not-found", "No such resource")                                   \
    X(METHOD, 405, "method-not-allowed", "The resource does not have this method")       \
    X(NOT_ACCEPTABLE, 406, "not-acceptable", "No acceptable form of the answer")         \
    X(TOO_LARGE, 413, "body-too-large", "The request's body is too large")               \
    X(MEDIA_TYPE, 415, "unsupported-media-type", "The body's type is not supported")     \
    X(INVALID, 422, "invalid-request", "The request asks for what cannot be done")       \
    X(OVERLOADED, 429, "overloaded", "The service is full")                              \
    X(RATE_LIMITED, 429, "rate-limited", "The key's rate is used up")                    \
    X(CLIENT_GONE, 499, "client-gone", "The client has left")                            \
    X(INTERNAL, 500, "internal", "The service failed")                                   \
    X(UNAVAILABLE, 503, "unavailable", "The service is not ready")                       \
    X(DEADLINE, 504, "deadline-passed", "The deadline has passed")

enum problem_kind {
#define X(name, status, type, title) PROBLEM_##name,
    PROBLEM_MAP(X)
#undef X
};

struct problem {
    enum problem_kind kind; /* PROBLEM_NONE: nothing is wrong */
    char detail[320];
    char field[40];     /* the request's field it is about; may be empty */
    bool is_stranger;   /* field is no name of ours, but the client's own words */
    int line, column;   /* in the body, from 1; 0 when not known */
    double retry_after; /* seconds; 0 when retrying makes no sense */
    double wait;        /* seconds that a request would wait now; 0 when not known */
    double fastest;     /* seconds the request takes on an idle server; 0: not known */
    const char *allow;  /* for 405: the methods there are; borrowed, static */
};

/* Fills *problem (what it has no argument for becomes 0) and returns false, so
 * that refusing is one statement. field may be NULL. What does not fit is cut; what is
 * not UTF-8, as a client's bytes may not be, becomes '?'. The arguments may point into
 * *problem. */
bool problem_set(struct problem *problem,
                 enum problem_kind kind,
                 const char *field,
                 const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

/* The value of Retry-After (RFC 9110, section 10.2.3): seconds, rounded up. */
unsigned problem_retry_seconds(const struct problem *problem);

/* The value of retry-after-ms, which some clients read before Retry-After. */
unsigned problem_retry_milliseconds(const struct problem *problem);

int problem_status(enum problem_kind kind);

/* The short name that ends the type's URI reference, for logs too: "overloaded". */
const char *problem_type(enum problem_kind kind);

/* Appends the JSON object and a newline: type ("/problems/overloaded"), title, status,
 * and detail, instance (the request's id; may be NULL), field, line, column, retry_after
 * (whole seconds), retry_after_ms, predicted_wait_ms, fastest_ms where they are set.
 * Without memory the buf fails. */
void problem_write(const struct problem *problem,
                   const char *request_id,
                   struct buf *out);

#define PROBLEM_CONTENT_TYPE "application/problem+json"

#endif
