#include "server/client_watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 64 };

struct client_watch {
    struct client_watch_setting setting;
    int epoll, stop[2]; /* a pipe: closing its end of [1] stops the thread; -1: none */
    /* Held while events are fetched and told, and while the set changes: so an event is
     * always of an entry that is still there. */
    pthread_mutex_t lock;
    pthread_t thread;
    bool runs;
};

/* The lock is held. */
static void forget(struct client_watch *watch, struct client_watch_entry *entry)
{
    if (!entry->is_watched)
        return;
    (void)epoll_ctl(watch->epoll, EPOLL_CTL_DEL, entry->socket, NULL);
    entry->is_watched = false;
}

static void tell(struct client_watch *watch)
{
    struct epoll_event events[EVENTS];
    (void)pthread_mutex_lock(&watch->lock);
    int n = epoll_wait(watch->epoll, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        struct client_watch_entry *entry = events[i].data.ptr;
        forget(watch, entry);
        watch->setting.gone(watch->setting.context, entry->item);
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

/* Waits outside of the lock, for the set as a whole. */
static void *run(void *argument)
{
    struct client_watch *watch = argument;
    struct pollfd sources[] = {{.fd = watch->epoll, .events = POLLIN},
                               {.fd = watch->stop[0], .events = POLLIN}};
    while (poll(sources, 2, -1) >= 0 || errno == EINTR) {
        if (sources[1].revents != 0)
            break;
        tell(watch);
    }
    return NULL;
}

static enum err_code start(struct client_watch *watch, struct err *err)
{
    watch->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (watch->epoll < 0 || pipe(watch->stop) != 0)
        return err_set(err, ERR_IO, "cannot watch clients: %s", strerror(errno));
    watch->runs = pthread_create(&watch->thread, NULL, run, watch) == 0;
    return watch->runs ? ERR_OK
                       : err_set(err, ERR_INTERNAL, "cannot start the clients' watch");
}

enum err_code client_watch_create(struct client_watch **out,
                                  const struct client_watch_setting *setting,
                                  struct err *err)
{
    struct client_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the clients' watch");
    watch->setting = *setting;
    watch->epoll = watch->stop[0] = watch->stop[1] = -1;
    (void)pthread_mutex_init(&watch->lock, NULL);
    enum err_code code = start(watch, err);
    if (code != ERR_OK) {
        client_watch_destroy(watch);
        return code;
    }
    *out = watch;
    return ERR_OK;
}

static void close_if_open(int file)
{
    if (file >= 0)
        (void)close(file);
}

void client_watch_destroy(struct client_watch *watch)
{
    if (watch == NULL)
        return;
    close_if_open(watch->stop[1]);
    if (watch->runs)
        (void)pthread_join(watch->thread, NULL);
    close_if_open(watch->stop[0]);
    close_if_open(watch->epoll);
    (void)pthread_mutex_destroy(&watch->lock);
    free(watch);
}

void client_watch_add(struct client_watch *watch,
                      struct client_watch_entry *entry,
                      int socket,
                      void *item)
{
    /* Errors are always told. Edges: what was told once must not wake the thread again.
     */
    struct epoll_event event = {
        .events = EPOLLET | (watch->setting.allow_half_close ? 0 : EPOLLRDHUP),
        .data.ptr = entry};
    (void)pthread_mutex_lock(&watch->lock);
    *entry = (struct client_watch_entry){.socket = socket, .item = item};
    entry->is_watched = epoll_ctl(watch->epoll, EPOLL_CTL_ADD, socket, &event) == 0;
    (void)pthread_mutex_unlock(&watch->lock);
}

void client_watch_remove(struct client_watch *watch, struct client_watch_entry *entry)
{
    (void)pthread_mutex_lock(&watch->lock);
    forget(watch, entry);
    (void)pthread_mutex_unlock(&watch->lock);
}
