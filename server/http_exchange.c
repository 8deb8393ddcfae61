#include "server/http_exchange.h"

#include "api/accept.h"
#include "api/png_read.h"
#include "api/request_json.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "server/http_answer.h"
#include "server/http_generate.h"
#include "server/http_guard.h"
#include "server/http_report.h"
#include "server/http_route.h"
#include "server/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LINES = 32 * 1024,
    MAX_UPLOADS = 16 * PNG_READ_MAX_BYTES /* of all files that are held at once */
};

const char *http_exchange_header(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

struct line_reader {
    const char *name;
    struct buf *lines;
};

static enum MHD_Result
read_line(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    const struct line_reader *reader = context;
    (void)kind;
    if (text_equal_ignoring_case(name, reader->name) && value != NULL)
        accept_join(reader->lines, value);
    return MHD_YES;
}

void http_exchange_lines(const struct http_exchange *exchange,
                         const char *name,
                         struct buf *out)
{
    struct line_reader reader = {name, out};
    buf_init(out, MAX_LINES);
    (void)MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, read_line,
                                    &reader);
}

const char *http_exchange_body_text(const struct http_exchange *exchange)
{
    return exchange->body.data == NULL ? "" : exchange->body.data;
}

const char *http_exchange_accept(const struct http_exchange *exchange)
{
    return exchange->accept.data;
}

struct http_deadline *http_exchange_deadline(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

static void draw_request_id(struct http_exchange *exchange)
{
    unsigned char bytes[16];
    random_fill(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(exchange->request_id + 2 * i, 3, "%02x", bytes[i]);
}

/* The client's id when it is harmless in headers and logs, else a new one. */
static void set_request_id(struct http_exchange *exchange)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *given = http_exchange_header(exchange, "X-Request-Id");
    size_t length = given == NULL ? 0 : strlen(given);
    if (length > 0 && length < REQUEST_ID_SIZE && strspn(given, allowed) == length) {
        memcpy(exchange->request_id, given, length + 1);
        return;
    }
    draw_request_id(exchange);
}

struct http_exchange *http_exchange_create(const struct http_listener *listener,
                                           struct MHD_Connection *connection,
                                           const char *target)
{
    struct http_exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL)
        return NULL;
    exchange->listener = listener;
    exchange->shared = listener->shared;
    exchange->connection = connection;
    exchange->arrived = clock_now();
    exchange->target_at = target;
    buf_init(&exchange->body, REQUEST_MAX_BYTES);
    if (target != NULL && (exchange->target = strdup(target)) == NULL) {
        http_exchange_destroy(exchange);
        return NULL;
    }
    http_deadlines_enter(listener->deadlines, http_exchange_deadline(connection),
                         HTTP_PHASE_HEADER);
    return exchange;
}

/* Files are large and held until they are answered: all together have a limit. */
static bool reserve_upload(struct http_exchange *exchange, size_t bytes)
{
    size_t others = atomic_load(&exchange->shared->uploads);
    if (bytes <= MAX_UPLOADS - others) {
        atomic_fetch_add(&exchange->shared->uploads, bytes);
        exchange->upload += bytes;
        return true;
    }
    (void)problem_set(&exchange->problem, PROBLEM_OVERLOADED, NULL,
                      "the files that are being verified have %zu bytes, of at most %d",
                      others, MAX_UPLOADS);
    exchange->problem.retry_after = 1.0;
    metrics_add(exchange->shared->setting.metrics, METRIC_REFUSALS, REFUSAL_MEMORY, 1.0);
    return false;
}

static void drop_body(struct http_exchange *exchange)
{
    atomic_fetch_sub(&exchange->shared->uploads, exchange->upload);
    exchange->upload = 0;
    buf_finish(&exchange->body);
}

void http_exchange_destroy(struct http_exchange *exchange)
{
    if (exchange == NULL)
        return;
    drop_body(exchange);
    if (exchange->is_pending)
        pending_remove(&exchange->shared->unanswered);
    http_images_leave(exchange->images);
    served_model_release(exchange->model);
    buf_finish(&exchange->accept);
    free(exchange->target);
    free(exchange);
}

static enum MHD_Result
guard_header(void *guard, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    http_guard_add(guard, name, value == NULL ? "" : value);
    return MHD_YES;
}

/* Before anything else is believed. */
static bool check_head(struct http_exchange *exchange, const struct http_head *head)
{
    struct http_guard guard;
    struct http_guard_line line = {.method = head->method,
                                   .version = head->version,
                                   .target = exchange->target,
                                   .target_at = exchange->target_at};
    http_guard_begin(&guard, &line);
    (void)MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, guard_header,
                                    &guard);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        exchange->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    exchange->must_close = true;
    if (!http_guard_end(&guard, head->method + info->header_size, &exchange->problem))
        return false;
    exchange->must_close = false;
    http_exchange_lines(exchange, "Accept", &exchange->accept);
    return !exchange->accept.failed || problem_set(&exchange->problem, PROBLEM_INTERNAL,
                                                   NULL, "no memory for the headers");
}

/* Whoever may ask for a picture. */
static bool check_key(struct http_exchange *exchange)
{
    struct api_keys *keys = exchange->shared->setting.keys;
    if (keys == NULL || !http_route(exchange->route)->needs_key)
        return true;
    exchange->key = api_keys_find(keys, http_exchange_header(exchange, "Authorization"));
    return exchange->key != NULL ||
           problem_set(&exchange->problem, PROBLEM_UNAUTHORIZED, NULL,
                       "a valid key is expected: Authorization: Bearer KEY");
}

/* A length, a media type and an acceptable answer, before the body is read. */
static bool check_headers(struct http_exchange *exchange)
{
    struct problem *problem = &exchange->problem;
    const struct http_route *route = http_route(exchange->route);
    enum route_body body = route_body(exchange->route);
    const char *length = http_exchange_header(exchange, "Content-Length");
    const char *type = http_exchange_header(exchange, "Content-Type");
    uint64_t bytes;
    if (body == ROUTE_PNG_BODY)
        exchange->body.limit = PNG_READ_MAX_BYTES;
    if (length != NULL && !text_to_unsigned(length, 0, exchange->body.limit, &bytes))
        return problem_set(problem, PROBLEM_TOO_LARGE, NULL,
                           "a body of at most %zu bytes is expected, found %.24s",
                           exchange->body.limit, length);
    bool is_right = body == ROUTE_NO_BODY ||
                    (body == ROUTE_JSON_BODY && accept_is_json(type)) ||
                    (body == ROUTE_PNG_BODY && type != NULL &&
                     text_equal_ignoring_case(type, form_type(FORM_PNG)));
    if (!is_right)
        return problem_set(problem, PROBLEM_MEDIA_TYPE, NULL,
                           "Content-Type: %s is expected, found %.80s",
                           form_type(body == ROUTE_PNG_BODY ? FORM_PNG : FORM_JSON),
                           type == NULL ? "none" : type);
    return route->check == NULL || route->check(exchange);
}

/* The path without scheme and authority, which have no escapes: so it begins at the same
 * place in both. */
static const char *find_path(const struct http_exchange *exchange, const char *path)
{
    const char *found = path + http_guard_path(exchange->target);
    return *found == '\0' ? "/" : found;
}

static bool has_body(const struct http_exchange *exchange)
{
    const char *length = http_exchange_header(exchange, "Content-Length");
    return http_exchange_header(exchange, "Transfer-Encoding") != NULL ||
           (length != NULL && strcmp(length, "0") != 0);
}

enum MHD_Result http_exchange_begin(struct http_exchange *exchange,
                                    const struct http_head *head)
{
    exchange->state = EXCHANGE_READING;
    (void)snprintf(exchange->method, sizeof(exchange->method), "%s", head->method);
    set_request_id(exchange);
    if (!check_head(exchange, head))
        return http_answer_problem(exchange);
    const char *path = find_path(exchange, head->path);
    exchange->dialect = route_dialect(path);
    exchange->is_preflight = http_answer_is_preflight(exchange);
    exchange->has_route =
        !exchange->is_preflight &&
        route_find(&exchange->route, exchange->method, path, exchange->listener->port,
                   exchange->shared->setting.metrics_on_service, &exchange->problem);
    /* An answer before the body closes the connection behind it. Where there is no body
     * the answer comes a call later, and the connection is kept. */
    bool is_right =
        exchange->is_preflight ||
        (exchange->has_route && check_key(exchange) && check_headers(exchange));
    if (!is_right && has_body(exchange))
        return http_answer_problem(exchange);
    http_deadlines_enter(exchange->listener->deadlines,
                         http_exchange_deadline(exchange->connection), HTTP_PHASE_BODY);
    return MHD_YES;
}

static bool add_to_body(struct http_exchange *exchange, const char *data, size_t length)
{
    struct buf *body = &exchange->body;
    if (body->limit == PNG_READ_MAX_BYTES && !reserve_upload(exchange, length))
        return false;
    if (buf_append(body, data, length))
        return true;
    return body->overflowed
               ? problem_set(&exchange->problem, PROBLEM_TOO_LARGE, NULL,
                             "a body of at most %zu bytes is expected", body->limit)
               : problem_set(&exchange->problem, PROBLEM_INTERNAL, NULL,
                             "no memory for the body");
}

enum MHD_Result
http_exchange_body(struct http_exchange *exchange, const char *data, size_t *length)
{
    /* Beyond a limit the rest is read and forgotten: an answer may only be queued when
     * the whole body is there. */
    if (exchange->problem.kind == PROBLEM_NONE && !add_to_body(exchange, data, *length))
        drop_body(exchange);
    *length = 0;
    return MHD_YES;
}

enum MHD_Result http_exchange_proceed(struct http_exchange *exchange)
{
    if (exchange->state == EXCHANGE_FINISHED)
        return http_route(exchange->route)->finish(exchange);
    if (exchange->problem.kind != PROBLEM_NONE)
        return http_answer_problem(exchange);
    return exchange->is_preflight ? http_answer_preflight(exchange)
                                  : http_route(exchange->route)->answer(exchange);
}

/* Whether libmicrohttpd has refused the head by itself. That is told of as well, though
 * what was in it is not kept. */
static bool adopt_refusal(struct http_exchange *exchange)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_HTTP_STATUS);
    if (exchange->state != EXCHANGE_HEAD || info == NULL || info->http_status == 0)
        return false;
    exchange->state = EXCHANGE_READING;
    draw_request_id(exchange);
    return true;
}

void http_exchange_end(struct http_exchange *exchange,
                       enum MHD_RequestTerminationCode code)
{
    struct http_deadlines *deadlines = exchange->listener->deadlines;
    struct http_deadline *deadline = http_exchange_deadline(exchange->connection);
    const char *outcome = NULL;
    if (http_deadlines_was_slow(deadlines, deadline))
        outcome = "too-slow";
    else if (code == MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN)
        outcome = "shutdown";
    else if (http_images_have_lost(exchange->images))
        outcome = "failed";
    else if (!adopt_refusal(exchange) && code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        outcome = "client-gone";
    http_report(exchange, outcome);
    http_generate_settle(exchange);
    http_deadlines_enter(deadlines, deadline, HTTP_PHASE_IDLE);
}
