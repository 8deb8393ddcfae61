/*
 * connection - one connection to a target that never blocks: it carries a request and
 * takes its answer, then possibly the next.
 *
 * Threads: one. Ownership: new from connection_open, freed by connection_destroy; nodes
 * are the loop's.
 */
#ifndef SLUICE_TESTS_LOAD_CONNECTION_H
#define SLUICE_TESTS_LOAD_CONNECTION_H

#include "base/list.h"
#include "tests/load/ledger.h"
#include "tests/load/response.h"

#include <stdbool.h>
#include <stddef.h>

enum { REQUEST_TEXT_MAX = 8192 };

enum connection_state {
    CONNECTION_CONNECTING,
    CONNECTION_WRITING,
    CONNECTION_READING,
    CONNECTION_IDLE
};

struct connection {
    int socket;
    enum connection_state state;
    size_t target; /* the index of the options' */
    size_t entry;  /* of the ledger, while a request is under way */
    bool is_reused;
    char request[REQUEST_TEXT_MAX];
    size_t request_length, request_sent;
    struct response response;
    struct list_node node;    /* in the loop's list of busy or of idle ones */
    struct list_node leaving; /* in the loop's list of clients that will leave */
    bool leaves;
};

/* Begins to connect. NULL with the reason when that fails at once. */
struct connection *
connection_open(const struct target *target, size_t index, enum outcome *reason);
void connection_destroy(struct connection *connection);

/* Puts a request's text in place; false when it is too long. */
bool connection_prepare(struct connection *connection,
                        const struct load_options *options,
                        const struct plan *plan);

/* Goes on as far as it can without waiting. PENDING, ANSWERED (the whole answer is in
 * `response`) or why the request is lost. *is_sent: the last byte has left. */
enum outcome connection_proceed(struct connection *connection, bool *is_sent);

#endif
