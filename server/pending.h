/*
 * pending - how many things are under way, up to a limit, and a way to wait until none
 * is.
 *
 * Threads: any. Ownership: the struct is its owner's, nothing is allocated.
 */
#ifndef SLUICE_SERVER_PENDING_H
#define SLUICE_SERVER_PENDING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pending {
    pthread_mutex_t lock;
    pthread_cond_t none;
    size_t count;
};

void pending_init(struct pending *pending);
void pending_finish(struct pending *pending);

/* One more, unless there are `most` already: then false. */
bool pending_add(struct pending *pending, size_t most);

/* One less. */
void pending_remove(struct pending *pending);

/* Waits until none is under way, at most this long. True when none is. */
bool pending_wait(struct pending *pending, uint64_t milliseconds);

#endif
