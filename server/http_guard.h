/*
 * http_guard - which requests' heads are refused before anything else is done with them:
 * those in which a proxy could see another request than this server does, and take what
 * follows for its next client's (RFC 9112, section 11.2), and those that are malformed.
 *
 * The library's parser lets much of that through, and hides some of it: what stands
 * behind a NUL, and a line that continues the one before. It parses in place, however, so
 * a head is whole exactly when each line begins two bytes (CR LF, which it overwrites)
 * behind the end of the line before, and the last header ends four bytes before the head
 * does.
 *
 *     http_guard_begin(&guard, &line)            the request line
 *     http_guard_add(&guard, name, value)        each header, in order
 *     http_guard_end(&guard, end, &problem)      true: all is well
 *
 * Threads: pure. Ownership: all texts are borrowed.
 */
#ifndef SLUICE_SERVER_HTTP_GUARD_H
#define SLUICE_SERVER_HTTP_GUARD_H

#include "api/problem.h"

#include <stdbool.h>
#include <stddef.h>

struct http_guard_line {
    const char *method, *version;
    const char *target;    /* as it was sent, no escape undone; NULL: none was */
    const char *target_at; /* where in the head it stood; compared, not read */
};

struct http_guard {
    const char *next;  /* where the next line must begin */
    const char *wrong; /* the first rule that is broken, in words; NULL: none */
    bool is_http_1_0;
    unsigned lengths, encodings, hosts, authorizations;
};

void http_guard_begin(struct http_guard *guard, const struct http_guard_line *line);
void http_guard_add(struct http_guard *guard, const char *name, const char *value);

/* end: behind the head's last byte. On false *problem is PROBLEM_MALFORMED, and the
 * connection must be closed. */
bool http_guard_end(struct http_guard *guard, const char *end, struct problem *problem);

/* Where in a target the path begins: 0, or behind scheme and authority when it has the
 * absolute form (RFC 9112, section 3.2.2). */
size_t http_guard_path(const char *target);

#endif
