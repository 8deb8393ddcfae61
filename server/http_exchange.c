#include "server/http_exchange.h"

#include "api/request_json.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "server/http_answer.h"
#include "server/http_generate.h"
#include "server/http_operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is done at each moment of an exchange, by its route. NULL: nothing to do. */
struct handler {
    bool (*check)(struct http_exchange *);             /* the headers are there */
    enum MHD_Result (*start)(struct http_exchange *);  /* the body is there */
    enum MHD_Result (*answer)(struct http_exchange *); /* the connection was resumed */
};

static const struct handler handlers[ROUTE_COUNT] = {
    [ROUTE_GENERATE] = {http_generate_check, http_generate_start, http_generate_answer},
    [ROUTE_LIVE] = {NULL, http_operator_live, NULL},
    [ROUTE_READY] = {NULL, http_operator_ready, NULL},
    [ROUTE_METRICS] = {NULL, http_operator_metrics, NULL},
};

const char *http_exchange_header(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
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
    unsigned char bytes[16];
    random_fill(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(exchange->request_id + 2 * i, 3, "%02x", bytes[i]);
}

struct http_exchange *http_exchange_create(struct http_shared *shared,
                                           struct MHD_Connection *connection,
                                           enum route_port port,
                                           const char *method)
{
    struct http_exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL)
        return NULL;
    exchange->shared = shared;
    exchange->connection = connection;
    exchange->port = port;
    exchange->arrived = clock_now();
    (void)snprintf(exchange->method, sizeof(exchange->method), "%s", method);
    buf_init(&exchange->body, REQUEST_MAX_BYTES);
    set_request_id(exchange);
    return exchange;
}

void http_exchange_destroy(struct http_exchange *exchange)
{
    if (exchange == NULL)
        return;
    if (exchange->is_pending)
        pending_remove(&exchange->shared->unanswered);
    job_destroy(exchange->job);
    served_model_release(exchange->model);
    buf_finish(&exchange->body);
    free(exchange);
}

/* What says where a request's body ends. */
struct framing {
    unsigned lengths, encodings;
    bool is_odd; /* another encoding, or a header's name with a blank */
};

static enum MHD_Result
add_framing(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct framing *framing = context;
    bool is_encoding = text_equal_ignoring_case(name, "Transfer-Encoding");
    (void)kind;
    framing->lengths += text_equal_ignoring_case(name, "Content-Length");
    framing->encodings += is_encoding;
    if (strpbrk(name, " \t") != NULL || (is_encoding && strcmp(value, "chunked") != 0))
        framing->is_odd = true;
    return MHD_YES;
}

/* RFC 9112, sections 5.1 and 6.3: a proxy could see another end of the body, and take
 * what follows for its next client's request. */
static bool check_framing(struct http_exchange *exchange)
{
    struct framing framing = {0};
    (void)MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, add_framing,
                                    &framing);
    if (!framing.is_odd && framing.lengths + framing.encodings <= 1)
        return true;
    return problem_set(
        &exchange->problem, PROBLEM_MALFORMED, NULL,
        "one Content-Length or one Transfer-Encoding: chunked is expected, "
        "and no blank in a header's name");
}

/* A length, and what the route asks for, before the body is read. */
static bool check_headers(struct http_exchange *exchange)
{
    const struct handler *handler = &handlers[exchange->route];
    const char *length = http_exchange_header(exchange, "Content-Length");
    uint64_t bytes;
    if (!check_framing(exchange))
        return false;
    if (length != NULL && !text_to_unsigned(length, 0, REQUEST_MAX_BYTES, &bytes))
        return problem_set(&exchange->problem, PROBLEM_TOO_LARGE, NULL,
                           "a body of at most %d bytes is expected", REQUEST_MAX_BYTES);
    return handler->check == NULL || handler->check(exchange);
}

enum MHD_Result http_exchange_begin(struct http_exchange *exchange, const char *path)
{
    exchange->has_route =
        route_find(&exchange->route, exchange->method, path, exchange->port,
                   exchange->shared->setting.metrics_on_service, &exchange->problem);
    if (!exchange->has_route || !check_headers(exchange))
        return http_answer_problem(exchange);
    return MHD_YES;
}

enum MHD_Result
http_exchange_body(struct http_exchange *exchange, const char *data, size_t *length)
{
    /* Beyond the limit the buf fails and the rest is read and forgotten: an answer may
     * only be queued when the whole body is there. */
    (void)buf_append(&exchange->body, data, *length);
    *length = 0;
    return MHD_YES;
}

/* The engine's thread: the answer is there. */
static void job_done(struct job *job, void *context)
{
    struct http_exchange *exchange = context;
    (void)job;
    exchange->state = EXCHANGE_FINISHED;
    MHD_resume_connection(exchange->connection);
}

/* A worker may be done before this function returns: the connection is suspended
 * first. */
enum MHD_Result http_exchange_submit(struct http_exchange *exchange,
                                     struct request *request)
{
    struct err err;
    if (job_create(&exchange->job, request, exchange->model, &err) != ERR_OK) {
        request_finish(request);
        (void)problem_set(&exchange->problem, PROBLEM_INTERNAL, NULL, "%s", err.message);
        return http_answer_problem(exchange);
    }
    exchange->job->done = job_done;
    exchange->job->done_context = exchange;
    exchange->state = EXCHANGE_WAITING;
    exchange->is_pending = pending_add(&exchange->shared->unanswered, SIZE_MAX);
    MHD_suspend_connection(exchange->connection);
    if (engine_submit(exchange->shared->setting.engine, exchange->job, &err) == ERR_OK)
        return MHD_YES;

    (void)problem_set(&exchange->problem, PROBLEM_UNAVAILABLE, NULL, "%s", err.message);
    exchange->problem.retry_after = 1.0;
    job_destroy(exchange->job);
    exchange->job = NULL;
    exchange->state = EXCHANGE_FINISHED;
    MHD_resume_connection(exchange->connection);
    return MHD_YES;
}

enum MHD_Result http_exchange_proceed(struct http_exchange *exchange)
{
    const struct handler *handler = &handlers[exchange->route];
    if (exchange->state == EXCHANGE_FINISHED)
        return handler->answer(exchange);
    if (exchange->body.overflowed)
        (void)problem_set(&exchange->problem, PROBLEM_TOO_LARGE, NULL,
                          "a body of at most %d bytes is expected", REQUEST_MAX_BYTES);
    else if (exchange->body.failed)
        (void)problem_set(&exchange->problem, PROBLEM_INTERNAL, NULL,
                          "no memory for the body");
    if (exchange->body.failed)
        return http_answer_problem(exchange);
    return handler->start(exchange);
}
