#include "server/http_deadlines.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/size.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum {
    NANOSECONDS = 1000000000,
    RESERVE = 32, /* connections that are kept free, if there are many */
    RESERVE_SHARE = 4
};

struct http_deadline {
    struct list_node node; /* in its phase's list, unless it waits or was cut */
    int socket;
    enum http_phase phase;
    uint64_t since;
    bool was_cut, was_slow;
};

struct http_deadlines {
    struct http_deadlines_setting setting;
    size_t most; /* connections before it is crowded */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool runs, is_stopping;

    size_t open; /* without those that were cut */
    struct list phases[HTTP_PHASE_COUNT];
};

/* How long a phase may last while the port is crowded. */
static const uint64_t crowded_limits[HTTP_PHASE_COUNT] = {
    [HTTP_PHASE_IDLE] = 0,
    [HTTP_PHASE_HEADER] = NANOSECONDS,
    [HTTP_PHASE_BODY] = NANOSECONDS,
    [HTTP_PHASE_RESPONSE] = UINT64_MAX,
};

static bool is_listed(const struct http_deadline *deadline)
{
    return deadline->phase != HTTP_PHASE_WAITING && !deadline->was_cut;
}

/* libmicrohttpd 0.9.75 overlooks an end that came together with data. */
static bool has_left(int socket)
{
    char byte;
    return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* libmicrohttpd's thread sees the end of the connection and closes it. What a client does
 * not read is dropped; a client that merely was slow to ask gets an orderly end. */
static void cut(struct http_deadlines *deadlines, struct http_deadline *deadline)
{
    static const struct linger drop = {.l_onoff = 1, .l_linger = 0};
    list_remove(&deadline->node);
    deadline->was_cut = true;
    deadline->was_slow =
        deadline->phase != HTTP_PHASE_IDLE && !has_left(deadline->socket);
    deadlines->open--;
    if (deadline->phase == HTTP_PHASE_RESPONSE)
        (void)setsockopt(deadline->socket, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
    (void)shutdown(deadline->socket, SHUT_RDWR);
    if (deadline->was_slow)
        metrics_add(deadlines->setting.metrics, METRIC_CONNECTIONS_CUT,
                    METRIC_CUT_HEADER + (deadline->phase - HTTP_PHASE_HEADER), 1.0);
}

static uint64_t instant_after(uint64_t since, uint64_t limit)
{
    return limit > UINT64_MAX - since ? UINT64_MAX : since + limit;
}

/* When a connection is to be cut, as things are. */
static uint64_t deadline_of(const struct http_deadlines *deadlines,
                            const struct http_deadline *deadline)
{
    uint64_t limit = deadlines->setting.limits[deadline->phase];
    uint64_t crowded = crowded_limits[deadline->phase];
    if (deadlines->open > deadlines->most && crowded < limit)
        limit = crowded;
    return instant_after(deadline->since, limit);
}

/* The lock is held. */
static uint64_t look(struct http_deadlines *deadlines, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    struct list_node *node;
    for (size_t phase = 0; phase < HTTP_PHASE_COUNT; phase++) {
        while ((node = list_first(&deadlines->phases[phase])) != NULL) {
            struct http_deadline *first = list_entry(node, struct http_deadline, node);
            uint64_t instant = deadline_of(deadlines, first);
            if (instant > now) {
                next = instant < next ? instant : next;
                break;
            }
            cut(deadlines, first);
        }
    }
    return next;
}

static void *run(void *argument)
{
    struct http_deadlines *deadlines = argument;
    (void)pthread_mutex_lock(&deadlines->lock);
    while (!deadlines->is_stopping) {
        uint64_t next = look(deadlines, clock_now());
        struct timespec end = {.tv_sec = (time_t)(next / NANOSECONDS),
                               .tv_nsec = (long)(next % NANOSECONDS)};
        if (next == UINT64_MAX)
            (void)pthread_cond_wait(&deadlines->changed, &deadlines->lock);
        else
            (void)pthread_cond_timedwait(&deadlines->changed, &deadlines->lock, &end);
    }
    (void)pthread_mutex_unlock(&deadlines->lock);
    return NULL;
}

enum err_code http_deadlines_create(struct http_deadlines **out,
                                    const struct http_deadlines_setting *setting,
                                    struct err *err)
{
    struct http_deadlines *deadlines = calloc(1, sizeof(*deadlines));
    pthread_condattr_t attributes;
    if (deadlines == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the connections' deadlines");
    deadlines->setting = *setting;
    deadlines->most =
        setting->connections - size_min(RESERVE, setting->connections / RESERVE_SHARE);
    for (size_t i = 0; i < HTTP_PHASE_COUNT; i++)
        list_init(&deadlines->phases[i]);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&deadlines->lock, NULL);
    (void)pthread_cond_init(&deadlines->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    deadlines->runs = pthread_create(&deadlines->thread, NULL, run, deadlines) == 0;
    if (!deadlines->runs) {
        http_deadlines_destroy(deadlines);
        return err_set(err, ERR_INTERNAL, "cannot start the deadlines' thread");
    }
    *out = deadlines;
    return ERR_OK;
}

void http_deadlines_destroy(struct http_deadlines *deadlines)
{
    if (deadlines == NULL)
        return;
    (void)pthread_mutex_lock(&deadlines->lock);
    deadlines->is_stopping = true;
    (void)pthread_cond_signal(&deadlines->changed);
    (void)pthread_mutex_unlock(&deadlines->lock);
    if (deadlines->runs)
        (void)pthread_join(deadlines->thread, NULL);
    (void)pthread_cond_destroy(&deadlines->changed);
    (void)pthread_mutex_destroy(&deadlines->lock);
    free(deadlines);
}

/* The thread sleeps until the first of all: it is woken by the first of a phase, and when
 * being crowded begins to matter. */
static void enter(struct http_deadlines *deadlines,
                  struct http_deadline *deadline,
                  enum http_phase phase)
{
    deadline->phase = phase;
    deadline->since = clock_now();
    if (phase == HTTP_PHASE_WAITING)
        return;
    struct list *list = &deadlines->phases[phase];
    bool is_first = list_is_empty(list);
    list_append(list, &deadline->node);
    if (is_first || deadlines->open > deadlines->most)
        (void)pthread_cond_signal(&deadlines->changed);
}

struct http_deadline *http_deadlines_add(struct http_deadlines *deadlines, int socket)
{
    struct http_deadline *deadline = calloc(1, sizeof(*deadline));
    if (deadline == NULL)
        return NULL;
    deadline->socket = socket;
    (void)pthread_mutex_lock(&deadlines->lock);
    deadlines->open++;
    enter(deadlines, deadline, HTTP_PHASE_HEADER);
    (void)pthread_mutex_unlock(&deadlines->lock);
    return deadline;
}

void http_deadlines_enter(struct http_deadlines *deadlines,
                          struct http_deadline *deadline,
                          enum http_phase phase)
{
    if (deadline == NULL)
        return;
    (void)pthread_mutex_lock(&deadlines->lock);
    if (!deadline->was_cut && deadline->phase != phase) {
        if (is_listed(deadline))
            list_remove(&deadline->node);
        enter(deadlines, deadline, phase);
    }
    (void)pthread_mutex_unlock(&deadlines->lock);
}

bool http_deadlines_was_slow(struct http_deadlines *deadlines,
                             const struct http_deadline *deadline)
{
    if (deadline == NULL)
        return false;
    (void)pthread_mutex_lock(&deadlines->lock);
    bool was_slow = deadline->was_slow;
    (void)pthread_mutex_unlock(&deadlines->lock);
    return was_slow;
}

void http_deadlines_remove(struct http_deadlines *deadlines,
                           struct http_deadline *deadline)
{
    if (deadline == NULL)
        return;
    (void)pthread_mutex_lock(&deadlines->lock);
    if (is_listed(deadline))
        list_remove(&deadline->node);
    if (!deadline->was_cut)
        deadlines->open--;
    (void)pthread_mutex_unlock(&deadlines->lock);
    free(deadline);
}

uint64_t http_deadlines_look(struct http_deadlines *deadlines, uint64_t now)
{
    (void)pthread_mutex_lock(&deadlines->lock);
    uint64_t next = look(deadlines, now);
    (void)pthread_mutex_unlock(&deadlines->lock);
    return next;
}
