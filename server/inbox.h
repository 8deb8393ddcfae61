/*
 * inbox - where jobs and orders cross from other threads to the engine's.
 *
 * Counts the jobs that crossed until they are done, so that their end can be awaited. It
 * does not wake the engine: whoever puts, wakes.
 *
 * Threads: any. Ownership: a job that was put belongs to whoever takes it, and so does a
 * hold on a model.
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

struct served_model;

/* What was said since the last time. */
struct inbox_orders {
    enum inbox_mode mode;
    struct served_model *model; /* to keep contexts for from now on; NULL: as before */
};

struct inbox {
    struct pending pending; /* jobs that were put and are not yet done */
    pthread_mutex_t lock;   /* of what follows */
    struct list jobs;
    struct inbox_orders orders;
};

void inbox_init(struct inbox *inbox);
void inbox_finish(struct inbox *inbox);

/* Puts all n of the list, which is empty then, or none: ERR_CANCELED when the inbox is
 * not open any more. */
enum err_code
inbox_put(struct inbox *inbox, struct list *jobs, size_t n, struct err *err);

/* Moves all jobs that were put to the end of `jobs`, and gives the orders. */
struct inbox_orders inbox_take(struct inbox *inbox, struct list *jobs);

/* One that was taken is done. */
void inbox_done(struct inbox *inbox);

void inbox_set_mode(struct inbox *inbox, enum inbox_mode mode);

/* Takes a hold on the model over. Returns the hold on one that was put before and that
 * nobody took; NULL mostly. */
struct served_model *inbox_put_model(struct inbox *inbox, struct served_model *model);

#endif
