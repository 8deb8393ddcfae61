/*
 * inbox - where jobs cross from the http thread to the engine's.
 *
 * Counts what crossed until it is done, so that the number is bounded and its end can be
 * awaited. It does not wake the engine: whoever puts, wakes.
 *
 * Threads: any. Ownership: a job that was put belongs to whoever takes it.
 */
#ifndef SLUICE_SERVER_INBOX_H
#define SLUICE_SERVER_INBOX_H

#include "base/err.h"
#include "base/list.h"
#include "server/pending.h"

#include <stdbool.h>
#include <stddef.h>

/* What the engine is asked to be; it only ever goes down this list. */
enum inbox_mode { INBOX_OPEN, INBOX_CANCELING, INBOX_QUITTING };

struct inbox {
    struct pending pending; /* put, and not yet done */
    size_t limit;
    pthread_mutex_t lock; /* of what follows */
    struct list jobs;
    enum inbox_mode mode;
};

void inbox_init(struct inbox *inbox, size_t limit);
void inbox_finish(struct inbox *inbox);

/* ERR_BUSY when `limit` are under way, ERR_CANCELED when it is not open any more. */
enum err_code inbox_put(struct inbox *inbox, struct list_node *job, struct err *err);

/* Moves all that was put to the end of `jobs`; returns how many, and the mode. */
size_t inbox_take(struct inbox *inbox, struct list *jobs, enum inbox_mode *mode);

/* One that was taken is done. */
void inbox_done(struct inbox *inbox);

void inbox_set_mode(struct inbox *inbox, enum inbox_mode mode);

#endif
