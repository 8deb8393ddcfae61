/*
 * http_deadlines - how long a client may take: each connection is in a phase, and is cut
 * when it has been there for too long, however busily it dribbles.
 *
 *     HEADER -> BODY -> WAITING -> RESPONSE -> IDLE -> HEADER ...
 *
 * While a port has few connections left, idle ones go first, the longest idle before
 * others, and then those whose head or body has taken more than a second: so slow clients
 * cannot keep the others out. The time in which a request waits for its answer does not
 * count.
 *
 * Every phase has one limit, so the connections in it are in the order of their
 * deadlines, and only the first needs to be looked at.
 *
 * Threads: a thread of its own cuts; the rest by any thread. Ownership: new from
 * http_deadlines_create, freed by http_deadlines_destroy; a connection is freed by
 * http_deadlines_remove, to be called before its socket is closed.
 */
#ifndef SLUICE_SERVER_HTTP_DEADLINES_H
#define SLUICE_SERVER_HTTP_DEADLINES_H

#include "base/err.h"
#include "server/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which they go when there are few left. */
enum http_phase {
    HTTP_PHASE_IDLE,   /* between two requests */
    HTTP_PHASE_HEADER, /* from the connection's start, or a request's first line */
    HTTP_PHASE_BODY,
    HTTP_PHASE_RESPONSE, /* it is being sent */
    HTTP_PHASE_COUNT,
    HTTP_PHASE_WAITING = HTTP_PHASE_COUNT, /* no limit */
};

struct http_deadlines_setting {
    uint64_t limits[HTTP_PHASE_COUNT]; /* nanoseconds */
    size_t connections;                /* that the port takes */
    struct metrics *metrics;
};

struct http_deadlines;
struct http_deadline; /* one connection's */

enum err_code http_deadlines_create(struct http_deadlines **out,
                                    const struct http_deadlines_setting *setting,
                                    struct err *err);

/* No connection may be left. NULL is accepted. */
void http_deadlines_destroy(struct http_deadlines *deadlines);

/* A new connection, in HEADER. NULL without memory: then nothing limits it. */
struct http_deadline *http_deadlines_add(struct http_deadlines *deadlines, int socket);

/* NULL is accepted by these three. Entering the phase that it is in changes nothing. Who
 * was cut was slow, unless the connection was idle or its client had left already. */
void http_deadlines_enter(struct http_deadlines *deadlines,
                          struct http_deadline *deadline,
                          enum http_phase phase);
bool http_deadlines_was_slow(struct http_deadlines *deadlines,
                             const struct http_deadline *deadline);
void http_deadlines_remove(struct http_deadlines *deadlines,
                           struct http_deadline *deadline);

/* Cuts whom it is time for, and returns when to look again; UINT64_MAX: when something
 * changes. What the thread does; to be called by tests. */
uint64_t http_deadlines_look(struct http_deadlines *deadlines, uint64_t now);

#endif
