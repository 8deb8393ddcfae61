/* Who is cut, and when: by each phase's limit, and earlier while a port is crowded. */
#include "base/clock.h"
#include "server/http_deadlines.h"
#include "tests/check.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 8, MOST = 6, PATIENCE = 60000 };

static const uint64_t second = 1000000000;

struct connection {
    int server, client;
    struct http_deadline *deadline;
};

static struct metrics metrics;

/* Limits of hours: only the test's own looks cut. */
static struct http_deadlines *create(void)
{
    struct err err = {0};
    struct http_deadlines *deadlines = NULL;
    struct http_deadlines_setting setting = {
        .limits = {[HTTP_PHASE_IDLE] = 15000 * second,
                   [HTTP_PHASE_HEADER] = 10000 * second,
                   [HTTP_PHASE_BODY] = 20000 * second,
                   [HTTP_PHASE_RESPONSE] = 30000 * second},
        .connections = CONNECTIONS,
        .metrics = &metrics};
    CHECK_OK(http_deadlines_create(&deadlines, &setting, &err), err);
    return deadlines;
}

static struct connection add(struct http_deadlines *deadlines)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    struct connection connection = {ends[0], ends[1],
                                    http_deadlines_add(deadlines, ends[0])};
    CHECK(connection.deadline != NULL);
    return connection;
}

static void take_away(struct http_deadlines *deadlines, struct connection *connection)
{
    http_deadlines_remove(deadlines, connection->deadline);
    (void)close(connection->server);
    (void)close(connection->client);
}

/* Whether its client sees the end, within so many milliseconds. */
static bool is_cut(const struct connection *connection, int patience)
{
    struct pollfd end = {.fd = connection->client, .events = POLLIN};
    char byte;
    return poll(&end, 1, patience) == 1 && read(connection->client, &byte, 1) == 0;
}

static uint64_t count(enum metric_cut phase)
{
    return atomic_load(&metrics.values[METRIC_CONNECTIONS_CUT][phase]) / 1000000;
}

static void test_limits(void)
{
    static const struct {
        enum http_phase phase;
        uint64_t limit;
    } cases[] = {
        {HTTP_PHASE_HEADER, 10000},
        {HTTP_PHASE_IDLE, 15000},
        {HTTP_PHASE_BODY, 20000},
        {HTTP_PHASE_RESPONSE, 30000},
    };
    struct http_deadlines *deadlines = create();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct connection connection = add(deadlines);
        uint64_t limit = cases[i].limit * second, before = clock_now();
        http_deadlines_enter(deadlines, connection.deadline, HTTP_PHASE_WAITING);
        http_deadlines_enter(deadlines, connection.deadline, cases[i].phase);
        uint64_t next = http_deadlines_look(deadlines, before);
        CHECK(next >= before + limit && next <= clock_now() + limit);
        /* To enter it again, at every byte, gains nothing. */
        http_deadlines_enter(deadlines, connection.deadline, cases[i].phase);
        CHECK(http_deadlines_look(deadlines, next - 1) == next);
        CHECK(!http_deadlines_was_slow(deadlines, connection.deadline));
        CHECK(http_deadlines_look(deadlines, next) == UINT64_MAX);
        CHECK(http_deadlines_was_slow(deadlines, connection.deadline) ==
              (cases[i].phase != HTTP_PHASE_IDLE));
        CHECK(is_cut(&connection, 0));
        http_deadlines_enter(deadlines, connection.deadline, HTTP_PHASE_IDLE);
        CHECK(http_deadlines_look(deadlines, next) == UINT64_MAX);
        take_away(deadlines, &connection);
    }
    CHECK(count(METRIC_CUT_HEADER) == 1 && count(METRIC_CUT_BODY) == 1 &&
          count(METRIC_CUT_RESPONSE) == 1);
    http_deadlines_destroy(deadlines);
}

static void test_waiting(void)
{
    struct http_deadlines *deadlines = create();
    struct connection connection = add(deadlines);
    http_deadlines_enter(deadlines, connection.deadline, HTTP_PHASE_WAITING);
    CHECK(http_deadlines_look(deadlines, UINT64_MAX - 1) == UINT64_MAX);
    CHECK(!is_cut(&connection, 0));
    take_away(deadlines, &connection);
    http_deadlines_enter(deadlines, NULL, HTTP_PHASE_BODY);
    http_deadlines_remove(deadlines, NULL);
    CHECK(!http_deadlines_was_slow(deadlines, NULL));
    http_deadlines_destroy(deadlines);
    http_deadlines_destroy(NULL);
}

/* Who has left is no slow client, though it takes the limit to see it. */
static void test_leaving(void)
{
    struct http_deadlines *deadlines = create();
    struct connection connection = add(deadlines);
    uint64_t before = count(METRIC_CUT_HEADER);
    (void)shutdown(connection.client, SHUT_WR);
    CHECK(http_deadlines_look(deadlines, clock_now() + 10001 * second) == UINT64_MAX);
    CHECK(is_cut(&connection, 0));
    CHECK(!http_deadlines_was_slow(deadlines, connection.deadline));
    CHECK(count(METRIC_CUT_HEADER) == before);
    take_away(deadlines, &connection);
    http_deadlines_destroy(deadlines);
}

/* The thread itself: idle ones go as soon as there are too many, the oldest first. */
static void test_idle_when_crowded(void)
{
    struct http_deadlines *deadlines = create();
    struct connection connections[CONNECTIONS];
    for (size_t i = 0; i < MOST; i++) {
        connections[i] = add(deadlines);
        if (i < 3)
            http_deadlines_enter(deadlines, connections[i].deadline, HTTP_PHASE_IDLE);
    }
    CHECK(!is_cut(&connections[0], 0));
    connections[MOST] = add(deadlines);
    CHECK(is_cut(&connections[0], PATIENCE) && !is_cut(&connections[1], 0));
    connections[MOST + 1] = add(deadlines);
    CHECK(is_cut(&connections[1], PATIENCE) && !is_cut(&connections[2], 0));
    for (size_t i = 0; i < CONNECTIONS; i++)
        take_away(deadlines, &connections[i]);
    http_deadlines_destroy(deadlines);
}

/* Without idle ones: after a second heads, then bodies, only as many as it takes. */
static void test_slow_when_crowded(void)
{
    struct http_deadlines *deadlines = create();
    struct connection connections[CONNECTIONS];
    for (size_t i = 0; i < CONNECTIONS; i++)
        connections[i] = add(deadlines);
    for (size_t i = 1; i < CONNECTIONS; i++)
        http_deadlines_enter(deadlines, connections[i].deadline,
                             i < 4 ? HTTP_PHASE_BODY : HTTP_PHASE_RESPONSE);
    CHECK(is_cut(&connections[0], PATIENCE) && is_cut(&connections[1], PATIENCE));
    (void)http_deadlines_look(deadlines, clock_now() + 100 * second);
    for (size_t i = 2; i < CONNECTIONS; i++)
        CHECK(!is_cut(&connections[i], 0));
    for (size_t i = 0; i < CONNECTIONS; i++)
        take_away(deadlines, &connections[i]);
    http_deadlines_destroy(deadlines);
}

int main(void)
{
    test_limits();
    test_waiting();
    test_leaving();
    test_idle_when_crowded();
    test_slow_when_crowded();
    return 0;
}
