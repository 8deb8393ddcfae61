/* Clients that leave are told once, those that stay or were removed never. */
#include "server/client_watch.h"
#include "server/pending.h"
#include "tests/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 200, PATIENCE = 60000, ROUNDS = 2000 };

struct client {
    int server, client;
    struct client_watch_entry entry;
    atomic_int times_gone;
};

struct test {
    struct client clients[CLIENTS];
    struct pending awaited; /* clients that must be told as gone */
    struct client_watch *watch;
};

static void gone(void *context, void *item)
{
    struct test *test = context;
    struct client *client = item;
    atomic_fetch_add(&client->times_gone, 1);
    pending_remove(&test->awaited);
}

static void connect_client(struct client *client)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    client->server = ends[0];
    client->client = ends[1];
    atomic_store(&client->times_gone, 0);
}

static void start(struct test *test, bool allow_half_close)
{
    struct err err = {0};
    struct client_watch_setting setting = {allow_half_close, gone, test};
    pending_init(&test->awaited);
    CHECK_OK(client_watch_create(&test->watch, &setting, &err), err);
    for (size_t i = 0; i < CLIENTS; i++)
        connect_client(&test->clients[i]);
}

static void finish(struct test *test)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        client_watch_remove(test->watch, &test->clients[i].entry);
        (void)close(test->clients[i].server);
        (void)close(test->clients[i].client);
    }
    client_watch_destroy(test->watch);
    pending_finish(&test->awaited);
}

static void watch_client(struct test *test, size_t i)
{
    struct client *client = &test->clients[i];
    client_watch_add(test->watch, &client->entry, client->server, client);
}

/* Each third leaves before it is watched, each third while it is. */
static void test_leaving(struct test *test, bool allow_half_close, int how)
{
    start(test, allow_half_close);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (i % 3 != 2)
            (void)pending_add(&test->awaited, SIZE_MAX);
        if (i % 3 == 0)
            (void)shutdown(test->clients[i].client, how);
        watch_client(test, i);
    }
    for (size_t i = 1; i < CLIENTS; i += 3)
        (void)shutdown(test->clients[i].client, how);
    CHECK(pending_wait(&test->awaited, PATIENCE));
    finish(test);
    for (size_t i = 0; i < CLIENTS; i++)
        CHECK(test->clients[i].times_gone == (i % 3 != 2));
}

/* One that sends no more is not gone; the last one, which is, comes after them all. */
static void test_half_close(struct test *test)
{
    start(test, true);
    for (size_t i = 0; i < CLIENTS; i++) {
        watch_client(test, i);
        (void)shutdown(test->clients[i].client, SHUT_WR);
    }
    (void)pending_add(&test->awaited, SIZE_MAX);
    (void)shutdown(test->clients[CLIENTS - 1].client, SHUT_RDWR);
    CHECK(pending_wait(&test->awaited, PATIENCE));
    finish(test);
    for (size_t i = 0; i < CLIENTS; i++)
        CHECK(test->clients[i].times_gone == (i == CLIENTS - 1));
}

/* What was sent does not matter, and what was removed is not told. */
static void test_staying(struct test *test)
{
    start(test, false);
    for (size_t i = 0; i < CLIENTS; i++) {
        CHECK(write(test->clients[i].client, "next", 4) == 4);
        watch_client(test, i);
        client_watch_remove(test->watch, &test->clients[i].entry);
        client_watch_remove(test->watch, &test->clients[i].entry);
        (void)shutdown(test->clients[i].client, SHUT_RDWR);
    }
    finish(test);
    for (size_t i = 0; i < CLIENTS; i++)
        CHECK(test->clients[i].times_gone == 0);
}

static void *leave(void *argument)
{
    const struct client *client = argument;
    (void)shutdown(client->client, SHUT_RDWR);
    return NULL;
}

static void count(void *context, void *item)
{
    struct client *client = item;
    (void)context;
    atomic_fetch_add(&client->times_gone, 1);
}

/* Leaving races with removing: never told once remove has returned. */
static void test_race(struct test *test)
{
    struct err err = {0};
    struct client_watch_setting setting = {false, count, NULL};
    CHECK_OK(client_watch_create(&test->watch, &setting, &err), err);
    for (size_t i = 0; i < ROUNDS; i++) {
        struct client *client = &test->clients[0];
        pthread_t thread;
        connect_client(client);
        watch_client(test, 0);
        CHECK(pthread_create(&thread, NULL, leave, client) == 0);
        client_watch_remove(test->watch, &client->entry);
        int times = atomic_load(&client->times_gone);
        (void)pthread_join(thread, NULL);
        CHECK(times <= 1 && atomic_load(&client->times_gone) == times);
        (void)close(client->server);
        (void)close(client->client);
    }
    client_watch_destroy(test->watch);
}

int main(void)
{
    static struct test test;
    test_leaving(&test, false, SHUT_RDWR);
    test_leaving(&test, false, SHUT_WR);
    test_leaving(&test, true, SHUT_RDWR);
    test_half_close(&test);
    test_staying(&test);
    test_race(&test);
    client_watch_destroy(NULL);
    return 0;
}
