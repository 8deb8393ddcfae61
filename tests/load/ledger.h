/*
 * ledger - what became of every request that was sent: one entry each, so that nothing
 * can be lost without being seen.
 *
 * Threads: one. Ownership: the entries are the ledger's, freed by ledger_finish.
 */
#ifndef SLUICE_TESTS_LOAD_LEDGER_H
#define SLUICE_TESTS_LOAD_LEDGER_H

#include "base/digest.h"
#include "tests/load/schedule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTCOME_MAP(X)                                                                   \
    X(PENDING, "pending")                                                                \
    X(ANSWERED, "answered") /* any status but 429 and 503 */                             \
    X(REFUSED, "refused")   /* 429 or 503 */                                             \
    X(ABORTED, "aborted")   /* the client left, as planned */                            \
    X(CONNECT, "connect")   /* from here on lost: no connection */                       \
    X(SOCKETS, "sockets")   /* no descriptor was left for one */                         \
    X(STALE, "stale")       /* a kept connection ended before the answer began */        \
    X(CLOSED, "closed")     /* a new connection, or within the answer */                 \
    X(RESET, "reset")                                                                    \
    X(MALFORMED, "malformed")                                                            \
    X(TIMEOUT, "timeout")

enum outcome {
#define X(name, text) OUTCOME_##name,
    OUTCOME_MAP(X)
#undef X
        OUTCOME_COUNT
};

/* The text of an outcome. */
const char *outcome_name(enum outcome outcome);

struct entry {
    struct plan plan;
    uint64_t started, sent, finished; /* instants; sent: the last byte */
    enum outcome outcome;
    int status;
    int64_t retry_after; /* -1: none */
    uint32_t steps;
    char digest[DIGEST_TEXT_SIZE];
};

struct ledger {
    const struct load_options *options;
    uint64_t begin, end; /* of sending */
    struct entry *entries;
    size_t count, capacity;
};

void ledger_init(struct ledger *ledger, const struct load_options *options);
void ledger_finish(struct ledger *ledger);

/* The index of a new, pending entry; SIZE_MAX without memory. */
size_t ledger_open(struct ledger *ledger, const struct plan *plan, uint64_t now);

/* Whether it was a picture, in time where a time was asked for. */
bool ledger_is_good(const struct ledger *ledger, const struct entry *entry);

/* How many ended so; status 0: any. */
size_t ledger_count(const struct ledger *ledger, enum outcome outcome, int status);

/* Whether every request that was sent has its outcome. */
bool ledger_is_balanced(const struct ledger *ledger);

/* Writes the entries to a file. */
enum err_code
ledger_write(const struct ledger *ledger, const char *path, struct err *err);

#endif
