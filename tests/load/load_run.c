#include "tests/load/load_run.h"

#include "base/clock.h"
#include "base/size.h"
#include "tests/load/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS = 256 };

struct loop {
    const struct load_options *options;
    struct ledger *ledger;
    struct schedule schedule;
    int epoll, timer;
    struct list idle[LOAD_TARGETS]; /* kept alive, the last used first */
    struct list busy;               /* in the order they began */
    struct list leaving;            /* those of busy that will leave, in that order */
    size_t busy_count, next_target;
};

/* As many connections as the system allows. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum err_code open_loop(struct loop *loop, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN};
    list_init(&loop->busy);
    list_init(&loop->leaving);
    for (size_t i = 0; i < LOAD_TARGETS; i++)
        list_init(&loop->idle[i]);
    raise_descriptor_limit();
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->epoll < 0 || loop->timer < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->timer, &event) != 0)
        return err_set(err, ERR_IO, "epoll: %s", strerror(errno));
    return ERR_OK;
}

static void close_loop(struct loop *loop)
{
    for (size_t i = 0; i < LOAD_TARGETS; i++)
        for (struct list_node *node; (node = list_pop(&loop->idle[i])) != NULL;)
            connection_destroy(list_entry(node, struct connection, node));
    if (loop->timer >= 0)
        (void)close(loop->timer);
    if (loop->epoll >= 0)
        (void)close(loop->epoll);
}

/* Waits for what the connection's state needs: room, or bytes (or its end). */
static void watch(const struct loop *loop, struct connection *connection, int operation)
{
    struct epoll_event event = {.data.ptr = connection};
    event.events = connection->state <= CONNECTION_WRITING ? EPOLLOUT : EPOLLIN;
    (void)epoll_ctl(loop->epoll, operation, connection->socket, &event);
}

static void keep_or_close(struct loop *loop, struct connection *connection, bool keep)
{
    if (!keep) {
        connection_destroy(connection); /* which takes it out of epoll */
        return;
    }
    connection->state = CONNECTION_IDLE;
    connection->is_reused = true;
    list_append(&loop->idle[connection->target], &connection->node);
}

static void copy_answer(struct entry *entry, struct response *response)
{
    const bool is_refusal = response->status == 429 || response->status == 503;
    entry->outcome = is_refusal ? OUTCOME_REFUSED : OUTCOME_ANSWERED;
    entry->status = response->status;
    entry->retry_after = response->retry_after;
    entry->steps = response->steps;
    digest_finish(&response->digest, entry->digest);
}

/* The request under way has its outcome. */
static void settle(struct loop *loop, struct connection *connection, enum outcome outcome)
{
    struct entry *entry = &loop->ledger->entries[connection->entry];
    entry->outcome = outcome;
    entry->finished = clock_now();
    list_remove(&connection->node);
    if (connection->leaves)
        list_remove(&connection->leaving);
    connection->leaves = false;
    loop->busy_count--;
    const bool keep = outcome == OUTCOME_ANSWERED && !connection->response.closes &&
                      connection->response.has_length && !loop->options->new_connections;
    if (outcome == OUTCOME_ANSWERED)
        copy_answer(entry, &connection->response);
    keep_or_close(loop, connection, keep);
}

static void proceed(struct loop *loop, struct connection *connection)
{
    const enum connection_state before = connection->state;
    bool is_sent;
    const enum outcome outcome = connection_proceed(connection, &is_sent);
    if (is_sent)
        loop->ledger->entries[connection->entry].sent = clock_now();
    /* Also when it is answered already: an idle connection that is watched for room would
     * look as if the server had closed it. */
    if ((before <= CONNECTION_WRITING) != (connection->state <= CONNECTION_WRITING))
        watch(loop, connection, EPOLL_CTL_MOD);
    if (outcome != OUTCOME_PENDING)
        settle(loop, connection, outcome);
}

/* The connection used last, which the server is least likely to have closed. */
static struct connection *take_idle(struct loop *loop, size_t target)
{
    struct list *idle = &loop->idle[target];
    if (list_is_empty(idle))
        return NULL;
    struct connection *connection =
        list_entry(idle->head.previous, struct connection, node);
    list_remove(&connection->node);
    connection->state = CONNECTION_WRITING;
    return connection;
}

static struct connection *connect_new(struct loop *loop, size_t target, enum outcome *why)
{
    struct connection *connection =
        connection_open(&loop->options->targets[target], target, why);
    if (connection != NULL)
        watch(loop, connection, EPOLL_CTL_ADD);
    return connection;
}

static enum err_code start(struct loop *loop, struct err *err)
{
    const uint64_t now = clock_now();
    const struct plan plan = schedule_take(&loop->schedule, now);
    const size_t target = loop->next_target,
                 entry = ledger_open(loop->ledger, &plan, now);
    enum outcome reason = OUTCOME_PENDING;
    if (entry == SIZE_MAX)
        return err_set(err, ERR_NO_MEMORY, "no memory for the ledger");
    loop->next_target = (target + 1) % loop->options->target_count;
    struct connection *connection = take_idle(loop, target);
    const bool is_new = connection == NULL;
    if (is_new)
        connection = connect_new(loop, target, &reason);
    if (connection == NULL) {
        loop->ledger->entries[entry].outcome = reason;
        loop->ledger->entries[entry].finished = now;
        return ERR_OK;
    }
    connection->entry = entry;
    connection->leaves = plan.leaves;
    list_append(&loop->busy, &connection->node);
    if (plan.leaves)
        list_append(&loop->leaving, &connection->leaving);
    loop->busy_count++;
    if (!connection_prepare(connection, loop->options, &plan))
        return err_set(err, ERR_INVALID, "a request is longer than %d bytes",
                       REQUEST_TEXT_MAX);
    if (is_new)
        return ERR_OK; /* it proceeds when it is connected */
    proceed(loop, connection);
    return ERR_OK;
}

static uint64_t nanoseconds(double seconds)
{
    return (uint64_t)(seconds * 1e9);
}

/* When the first of a list in order of beginning is due, `after` its beginning. */
static uint64_t
first_end(const struct loop *loop, const struct connection *first, double after)
{
    return loop->ledger->entries[first->entry].started + nanoseconds(after);
}

static struct connection *first_busy(const struct loop *loop)
{
    struct list_node *node = list_first(&loop->busy);
    return node == NULL ? NULL : list_entry(node, struct connection, node);
}

static struct connection *first_leaving(const struct loop *loop)
{
    struct list_node *node = list_first(&loop->leaving);
    return node == NULL ? NULL : list_entry(node, struct connection, leaving);
}

static void expire(struct loop *loop, uint64_t now)
{
    const struct load_options *options = loop->options;
    struct connection *first;
    while ((first = first_leaving(loop)) != NULL &&
           first_end(loop, first, options->leave_seconds) <= now)
        settle(loop, first, OUTCOME_ABORTED);
    while ((first = first_busy(loop)) != NULL &&
           first_end(loop, first, options->patience) <= now)
        settle(loop, first, OUTCOME_TIMEOUT);
}

static enum err_code start_due(struct loop *loop, struct err *err)
{
    const bool closed = loop->options->clients > 0;
    enum err_code code = ERR_OK;
    for (;;) {
        const uint64_t now = clock_now();
        if (code != ERR_OK || schedule_is_over(&loop->schedule, now))
            return code;
        if (closed ? loop->busy_count >= loop->options->clients
                   : schedule_due(&loop->schedule) > now)
            return ERR_OK;
        code = start(loop, err);
        if (closed && loop->busy_count == 0)
            return code; /* it was lost at once: the loop may not spin here */
    }
}

/* Sets the timer to the next instant at which something is due. */
static void set_timer(const struct loop *loop)
{
    const struct load_options *options = loop->options;
    const struct connection *busy = first_busy(loop), *leaving = first_leaving(loop);
    const uint64_t now = clock_now();
    uint64_t next = now + nanoseconds(loop->busy_count == 0 ? 0.001 : 1);
    if (options->rate > 0 && !schedule_is_over(&loop->schedule, now))
        next = schedule_due(&loop->schedule);
    if (busy != NULL)
        next = size_min(next, first_end(loop, busy, options->patience));
    if (leaving != NULL)
        next = size_min(next, first_end(loop, leaving, options->leave_seconds));
    const struct itimerspec setting = {
        .it_value = {.tv_sec = (time_t)(next / 1000000000),
                     .tv_nsec = (long)(next % 1000000000)}};
    (void)timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &setting, NULL);
}

static void handle(struct loop *loop, const struct epoll_event *event)
{
    struct connection *connection = event->data.ptr;
    uint64_t ticks;
    if (connection == NULL) {
        (void)!read(loop->timer, &ticks, sizeof(ticks));
        return;
    }
    if (connection->state != CONNECTION_IDLE) {
        proceed(loop, connection);
        return;
    }
    /* The server has closed it, or says something that nobody asked for. */
    list_remove(&connection->node);
    connection_destroy(connection);
}

static enum err_code turn(struct loop *loop, struct err *err)
{
    struct epoll_event events[EVENTS];
    set_timer(loop);
    const int n = epoll_wait(loop->epoll, events, EVENTS, -1);
    if (n < 0 && errno != EINTR)
        return err_set(err, ERR_IO, "epoll: %s", strerror(errno));
    for (int i = 0; i < n; i++)
        handle(loop, &events[i]);
    /* Only behind the events, so that none is for a connection that is gone. */
    expire(loop, clock_now());
    return start_due(loop, err);
}

enum err_code load_run(struct ledger *ledger, struct err *err)
{
    struct loop loop = {
        .options = ledger->options, .ledger = ledger, .epoll = -1, .timer = -1};
    enum err_code code = open_loop(&loop, err);
    ledger->begin = ledger->end = clock_now();
    schedule_init(&loop.schedule, ledger->options, ledger->begin);
    if (code == ERR_OK)
        code = start_due(&loop, err);
    while (code == ERR_OK &&
           (loop.busy_count > 0 || !schedule_is_over(&loop.schedule, clock_now()))) {
        code = turn(&loop, err);
        if (!schedule_is_over(&loop.schedule, clock_now()))
            ledger->end = clock_now();
    }
    for (struct list_node *node; (node = list_pop(&loop.busy)) != NULL;)
        connection_destroy(list_entry(node, struct connection, node));
    close_loop(&loop);
    return code;
}
