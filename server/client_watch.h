/*
 * client_watch - tells when the client of a suspended connection leaves: libmicrohttpd
 * does not look at such a connection's socket.
 *
 * Threads: a thread of its own waits; add and remove by any. Ownership: new from
 * client_watch_create, freed by client_watch_destroy; an entry is its owner's, who keeps
 * it, and its socket open, from add until remove has returned.
 */
#ifndef SLUICE_SERVER_CLIENT_WATCH_H
#define SLUICE_SERVER_CLIENT_WATCH_H

#include "base/err.h"

#include <stdbool.h>

struct client_watch_setting {
    /* A client that sends no more may still wait for its answer; by TCP the two cannot be
     * told apart. True: only one whose connection is broken counts as gone. */
    bool allow_half_close;
    /* Called at most once for an entry, by the watch's thread, and never after remove has
     * returned. It must not add or remove. */
    void (*gone)(void *context, void *item);
    void *context;
};

struct client_watch;

/* One socket; all zero while it is not watched. */
struct client_watch_entry {
    int socket;
    void *item; /* what `gone` is told */
    bool is_watched;
};

enum err_code client_watch_create(struct client_watch **out,
                                  const struct client_watch_setting *setting,
                                  struct err *err);

/* No entry may be watched any more. NULL is accepted. */
void client_watch_destroy(struct client_watch *watch);

/* A client that has left already is found as well. A socket that the system cannot watch
 * is not, which costs only work for nobody. */
void client_watch_add(struct client_watch *watch,
                      struct client_watch_entry *entry,
                      int socket,
                      void *item);

/* Does nothing when the entry is not watched. */
void client_watch_remove(struct client_watch *watch, struct client_watch_entry *entry);

#endif
