#include "tests/load/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_socket(const struct target *target, enum outcome *reason)
{
    const int on = 1;
    const int fd = socket(target->address.ss_family, SOCK_STREAM, 0);
    *reason = OUTCOME_SOCKETS;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
        *reason = OUTCOME_CONNECT;
        if (connect(fd, (const struct sockaddr *)&target->address,
                    target->address_length) == 0 ||
            errno == EINPROGRESS)
            return fd;
    }
    (void)close(fd);
    return -1;
}

struct connection *
connection_open(const struct target *target, size_t index, enum outcome *reason)
{
    struct connection *connection = malloc(sizeof(*connection));
    *reason = OUTCOME_SOCKETS;
    if (connection == NULL)
        return NULL;
    connection->target = index;
    connection->state = CONNECTION_CONNECTING;
    connection->is_reused = false;
    connection->leaves = false;
    connection->socket = open_socket(target, reason);
    if (connection->socket >= 0)
        return connection;
    free(connection);
    return NULL;
}

void connection_destroy(struct connection *connection)
{
    if (connection == NULL)
        return;
    (void)close(connection->socket);
    free(connection);
}

static void add(struct connection *connection, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends to the request; what does not fit shows in the length. */
static void add(struct connection *connection, const char *format, ...)
{
    const size_t at = connection->request_length;
    va_list arguments;
    if (at >= REQUEST_TEXT_MAX)
        return;
    va_start(arguments, format);
    const int n =
        vsnprintf(connection->request + at, REQUEST_TEXT_MAX - at, format, arguments);
    va_end(arguments);
    connection->request_length += n < 0 ? REQUEST_TEXT_MAX : (size_t)n;
}

/* The JSON object of a request; the prompt needs no escapes (--help says so). */
static size_t write_body(char *body,
                         size_t size,
                         const struct load_options *options,
                         const struct plan *plan)
{
    char number[24] = "";
    if (options->prompts > 1)
        (void)snprintf(number, sizeof(number), " %" PRIu64,
                       plan->seed % options->prompts);
    const int n =
        snprintf(body, size, "{\"prompt\":\"%s%s\",\"seed\":%" PRIu32 "%s}",
                 options->prompt, number, plan->seed, options->mixes[plan->mix].fields);
    return n < 0 ? size : (size_t)n;
}

bool connection_prepare(struct connection *connection,
                        const struct load_options *options,
                        const struct plan *plan)
{
    char body[REQUEST_TEXT_MAX];
    const size_t length = write_body(body, sizeof(body), options, plan);
    connection->request_length = connection->request_sent = 0;
    response_begin(&connection->response);
    if (length >= sizeof(body))
        return false;
    add(connection, "%s %s HTTP/1.1\r\nHost: %s\r\n",
        options->get != NULL ? "GET" : "POST",
        options->get != NULL ? options->get : "/v1/generate",
        options->targets[connection->target].name);
    for (size_t i = 0; i < options->header_count; i++)
        add(connection, "%s\r\n", options->headers[i]);
    if (options->new_connections)
        add(connection, "Connection: close\r\n");
    if (options->get == NULL)
        add(connection, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
            length, body);
    else
        add(connection, "\r\n");
    return connection->request_length < REQUEST_TEXT_MAX;
}

/* Why a read or a write of the request under way failed. */
static enum outcome failed(const struct connection *connection, int error)
{
    const bool has_begun = connection->response.head_length > 0;
    if (error == EAGAIN || error == EINTR)
        return OUTCOME_PENDING;
    if (connection->is_reused && !has_begun)
        return OUTCOME_STALE;
    return error == 0 ? OUTCOME_CLOSED : OUTCOME_RESET;
}

static enum outcome finish_connecting(struct connection *connection)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0 ||
        error != 0)
        return OUTCOME_CONNECT;
    connection->state = CONNECTION_WRITING;
    return OUTCOME_PENDING;
}

static enum outcome write_request(struct connection *connection)
{
    while (connection->request_sent < connection->request_length) {
        const ssize_t n =
            send(connection->socket, connection->request + connection->request_sent,
                 connection->request_length - connection->request_sent, MSG_NOSIGNAL);
        if (n < 0)
            return failed(connection, errno);
        connection->request_sent += (size_t)n;
    }
    connection->state = CONNECTION_READING;
    return OUTCOME_PENDING;
}

static enum outcome read_answer(struct connection *connection)
{
    char data[65536];
    for (;;) {
        const ssize_t n = recv(connection->socket, data, sizeof(data), 0);
        if (n < 0)
            return failed(connection, errno);
        if (n == 0)
            return response_end(&connection->response) == RESPONSE_DONE
                       ? OUTCOME_ANSWERED
                       : failed(connection, 0);
        switch (response_add(&connection->response, data, (size_t)n)) {
        case RESPONSE_MORE:
            break;
        case RESPONSE_DONE:
            return OUTCOME_ANSWERED;
        case RESPONSE_MALFORMED:
            return OUTCOME_MALFORMED;
        }
    }
}

enum outcome connection_proceed(struct connection *connection, bool *is_sent)
{
    enum outcome outcome = OUTCOME_PENDING;
    *is_sent = false;
    if (connection->state == CONNECTION_CONNECTING)
        outcome = finish_connecting(connection);
    if (outcome == OUTCOME_PENDING && connection->state == CONNECTION_WRITING) {
        outcome = write_request(connection);
        *is_sent = connection->state == CONNECTION_READING;
    }
    if (outcome == OUTCOME_PENDING && connection->state == CONNECTION_READING)
        outcome = read_answer(connection);
    return outcome;
}
