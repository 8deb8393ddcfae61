/* Jobs cross in order until it closes; the end of all can be awaited. */
#include "base/clock.h"
#include "server/inbox.h"
#include "server/served_model.h"
#include "tests/check.h"

#include <string.h>

enum { SEVERAL = 5, PRODUCERS = 3, EACH = 4000 };

static enum err_code put(struct inbox *inbox, struct list_node *node, struct err *err)
{
    struct list one;
    list_init(&one);
    list_append(&one, node);
    return inbox_put(inbox, &one, 1, err);
}

static size_t count(const struct list *jobs)
{
    size_t n = 0;
    for (struct list_node *node = list_first(jobs); node != NULL;
         node = list_next(jobs, node))
        n++;
    return n;
}

static void test_order(void)
{
    struct inbox inbox;
    struct list jobs;
    struct list_node nodes[SEVERAL + 1] = {0};
    struct err err = {0};
    list_init(&jobs);
    inbox_init(&inbox);
    CHECK(inbox_take(&inbox, &jobs).mode == INBOX_OPEN && list_is_empty(&jobs));
    for (size_t i = 0; i < SEVERAL; i++)
        CHECK_OK(put(&inbox, &nodes[i], &err), err);
    (void)inbox_take(&inbox, &jobs);
    CHECK(count(&jobs) == SEVERAL);
    CHECK_OK(put(&inbox, &nodes[SEVERAL], &err), err);
    (void)inbox_take(&inbox, &jobs); /* behind those that were taken */
    for (size_t i = 0; i <= SEVERAL; i++) {
        CHECK(list_pop(&jobs) == &nodes[i]);
        CHECK(!pending_wait(&inbox.pending, 0)); /* taken is not done */
        inbox_done(&inbox);
    }
    CHECK(list_is_empty(&jobs) && pending_wait(&inbox.pending, 0));
    inbox_finish(&inbox);
}

/* Modes only go down, a closed inbox takes nothing and keeps what it has. */
static void test_modes(void)
{
    struct inbox inbox;
    struct list jobs;
    struct list_node first = {0}, second = {0};
    struct err err = {0};
    list_init(&jobs);
    inbox_init(&inbox);
    CHECK_OK(put(&inbox, &first, &err), err);
    inbox_set_mode(&inbox, INBOX_CANCELING);
    inbox_set_mode(&inbox, INBOX_OPEN);
    CHECK(put(&inbox, &second, &err) == ERR_CANCELED);
    CHECK(strstr(err.message, "shutting down") != NULL);
    CHECK(inbox.pending.count == 1);
    CHECK(inbox_take(&inbox, &jobs).mode == INBOX_CANCELING);
    CHECK(list_first(&jobs) == &first && count(&jobs) == 1);
    inbox_set_mode(&inbox, INBOX_QUITTING);
    inbox_set_mode(&inbox, INBOX_CANCELING);
    CHECK(inbox_take(&inbox, &jobs).mode == INBOX_QUITTING);
    CHECK(put(&inbox, &second, NULL) == ERR_CANCELED);
    inbox_done(&inbox);
    CHECK(pending_wait(&inbox.pending, 0));
    inbox_finish(&inbox);
}

/* The newest model is given once; one that nobody took comes back. */
static void test_models(void)
{
    static struct served_model first, second;
    struct inbox inbox;
    struct list jobs;
    list_init(&jobs);
    inbox_init(&inbox);
    CHECK(inbox_take(&inbox, &jobs).model == NULL);
    CHECK(inbox_put_model(&inbox, &first) == NULL);
    CHECK(inbox_put_model(&inbox, &second) == &first);
    CHECK(inbox_take(&inbox, &jobs).model == &second);
    CHECK(inbox_take(&inbox, &jobs).model == NULL);
    inbox_finish(&inbox);
}

static void test_waiting_ends(void)
{
    struct pending pending;
    pending_init(&pending);
    CHECK(pending_wait(&pending, 0) && pending_wait(&pending, 100000));
    CHECK(!pending_add(&pending, 0));
    CHECK(pending_add(&pending, 2) && pending_add(&pending, 2) &&
          !pending_add(&pending, 2));
    CHECK(!pending_wait(&pending, 0));
    const uint64_t start = clock_now();
    CHECK(!pending_wait(&pending, 1999));
    const double waited = clock_milliseconds(clock_now() - start);
    CHECK(waited >= 1999.0 && waited < 30000.0);
    pending_remove(&pending);
    CHECK(!pending_wait(&pending, 1));
    pending_remove(&pending);
    CHECK(pending_wait(&pending, 0));
    pending_finish(&pending);
}

/* --- threads ---------------------------------------------------------------------- */

struct job {
    struct list_node node;
    size_t producer, number;
};

struct shared {
    struct inbox inbox;
    struct job jobs[PRODUCERS][EACH];
    size_t seen[PRODUCERS]; /* the consumer's own */
};

struct producer {
    struct shared *shared;
    size_t number;
};

static void *produce(void *argument)
{
    const struct producer *self = argument;
    struct shared *shared = self->shared;
    for (size_t i = 0; i < EACH; i++) {
        struct job *job = &shared->jobs[self->number][i];
        job->producer = self->number;
        job->number = i;
        CHECK(put(&shared->inbox, &job->node, NULL) == ERR_OK);
    }
    return NULL;
}

/* Takes until the inbox closes; each producer's jobs come in their order. */
static void *consume(void *argument)
{
    struct shared *shared = argument;
    enum inbox_mode mode = INBOX_OPEN;
    while (mode == INBOX_OPEN) {
        struct list jobs;
        struct list_node *node;
        list_init(&jobs);
        mode = inbox_take(&shared->inbox, &jobs).mode;
        while ((node = list_pop(&jobs)) != NULL) {
            const struct job *job = list_entry(node, struct job, node);
            CHECK(job->number == shared->seen[job->producer]++);
            inbox_done(&shared->inbox);
        }
    }
    return NULL;
}

static void test_threads(void)
{
    static struct shared shared;
    pthread_t consumer, threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    inbox_init(&shared.inbox);
    CHECK(pthread_create(&consumer, NULL, consume, &shared) == 0);
    for (size_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){&shared, i};
        CHECK(pthread_create(&threads[i], NULL, produce, &producers[i]) == 0);
    }
    for (size_t i = 0; i < PRODUCERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(pending_wait(&shared.inbox.pending, 60000));
    inbox_set_mode(&shared.inbox, INBOX_QUITTING);
    CHECK(pthread_join(consumer, NULL) == 0);
    for (size_t i = 0; i < PRODUCERS; i++)
        CHECK(shared.seen[i] == EACH);
    inbox_finish(&shared.inbox);
}

/* Whoever waits is woken by the last one's end, not by the time. */
static void *end_soon(void *argument)
{
    struct pending *pending = argument;
    const uint64_t start = clock_now();
    while (clock_now() - start < 20u * 1000 * 1000)
        continue;
    pending_remove(pending);
    return NULL;
}

static void test_waiting_is_woken(void)
{
    struct pending pending;
    pthread_t thread;
    pending_init(&pending);
    CHECK(pending_add(&pending, 1));
    const uint64_t start = clock_now();
    CHECK(pthread_create(&thread, NULL, end_soon, &pending) == 0);
    CHECK(pending_wait(&pending, 60000));
    CHECK(clock_milliseconds(clock_now() - start) < 30000.0);
    CHECK(pthread_join(thread, NULL) == 0);
    pending_finish(&pending);
}

int main(void)
{
    test_order();
    test_modes();
    test_models();
    test_waiting_ends();
    test_threads();
    test_waiting_is_woken();
    return 0;
}
