#include "server/http_exchange.h"

#include "api/accept.h"
#include "api/request_json.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/random.h"
#include "base/text.h"
#include "server/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ANSWER_TEXT = 1024 * 1024 };

static const char *header(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

/* The client's id when it is harmless in headers and logs, else a new one. */
static void set_request_id(struct http_exchange *exchange)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *given = header(exchange, "X-Request-Id");
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

/* Queues the response with the headers that every answer has, and lets go of it. */
static enum MHD_Result send_response(struct http_exchange *exchange,
                                     struct MHD_Response *response,
                                     const char *content_type,
                                     int status)
{
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", content_type);
    (void)MHD_add_response_header(response, "X-Request-Id", exchange->request_id);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    if (atomic_load(&exchange->shared->phase) != HTTP_SERVING)
        (void)MHD_add_response_header(response, "Connection", "close");
    exchange->status = status;
    enum MHD_Result result =
        MHD_queue_response(exchange->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

/* Hands the buf's bytes to a new response; NULL without memory. */
static struct MHD_Response *response_from(struct http_exchange *exchange,
                                          struct buf *body)
{
    size_t length;
    char *data = buf_take(body, &length);
    buf_finish(body);
    if (data == NULL)
        return NULL;
    exchange->answer_bytes = length;
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(length, data, free);
    if (response == NULL)
        free(data);
    return response;
}

static enum MHD_Result answer_problem(struct http_exchange *exchange)
{
    const struct problem *problem = &exchange->problem;
    struct buf body;
    buf_init(&body, MAX_ANSWER_TEXT);
    problem_write(problem, exchange->request_id, &body);
    struct MHD_Response *response = response_from(exchange, &body);
    if (response != NULL && problem->retry_after > 0.0) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%u", problem_retry_seconds(problem));
        (void)MHD_add_response_header(response, "Retry-After", text);
        (void)snprintf(text, sizeof(text), "%u", problem_retry_milliseconds(problem));
        (void)MHD_add_response_header(response, "retry-after-ms", text);
    }
    if (response != NULL && problem->allow != NULL)
        (void)MHD_add_response_header(response, "Allow", problem->allow);
    return send_response(exchange, response, PROBLEM_CONTENT_TYPE,
                         problem_status(problem->kind));
}

static enum MHD_Result
answer_text(struct http_exchange *exchange, int status, const char *text)
{
    struct buf body;
    buf_init(&body, MAX_ANSWER_TEXT);
    (void)buf_print(&body, "%s\n", text);
    return send_response(exchange, response_from(exchange, &body),
                         "text/plain; charset=utf-8", status);
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

/* A media type, a length and an acceptable answer, before the body is read. */
static bool check_headers(struct http_exchange *exchange)
{
    struct problem *problem = &exchange->problem;
    const char *length = header(exchange, "Content-Length");
    const char *type = header(exchange, "Content-Type");
    uint64_t bytes;
    if (!check_framing(exchange))
        return false;
    if (length != NULL && !text_to_unsigned(length, 0, REQUEST_MAX_BYTES, &bytes))
        return problem_set(problem, PROBLEM_TOO_LARGE, NULL,
                           "a body of at most %d bytes is expected", REQUEST_MAX_BYTES);
    if (exchange->route != ROUTE_GENERATE)
        return true;
    if (!accept_is_json(type))
        return problem_set(problem, PROBLEM_MEDIA_TYPE, NULL,
                           "Content-Type: application/json is expected, found %.80s",
                           type == NULL ? "none" : type);
    if (!accept_allows(header(exchange, "Accept"), "image/png"))
        return problem_set(
            problem, PROBLEM_NOT_ACCEPTABLE, NULL,
            "the answer is image/png, which the Accept header does not allow");
    return true;
}

enum MHD_Result http_exchange_begin(struct http_exchange *exchange, const char *path)
{
    exchange->has_route =
        route_find(&exchange->route, exchange->method, path, exchange->port,
                   exchange->shared->setting.metrics_on_service, &exchange->problem);
    if (!exchange->has_route || !check_headers(exchange))
        return answer_problem(exchange);
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

/* Suspends, then hands over: a worker may be done before this function returns. */
static enum MHD_Result submit(struct http_exchange *exchange, struct request *request)
{
    struct err err;
    if (job_create(&exchange->job, request, exchange->model, &err) != ERR_OK) {
        request_finish(request);
        (void)problem_set(&exchange->problem, PROBLEM_INTERNAL, NULL, "%s", err.message);
        return answer_problem(exchange);
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

static enum MHD_Result generate(struct http_exchange *exchange)
{
    struct request request;
    if (atomic_load(&exchange->shared->phase) == HTTP_REFUSING) {
        (void)problem_set(&exchange->problem, PROBLEM_UNAVAILABLE, NULL,
                          "the server is shutting down; try another replica");
        exchange->problem.retry_after = 1.0;
        return answer_problem(exchange);
    }
    exchange->model = model_shelf_take(exchange->shared->setting.shelf);
    const char *body = exchange->body.data == NULL ? "" : exchange->body.data;
    if (!request_parse(&request, body, exchange->body.length, &exchange->model->limits,
                       random_u32(), &exchange->problem))
        return answer_problem(exchange);
    return submit(exchange, &request);
}

static enum MHD_Result answer_image(struct http_exchange *exchange)
{
    const struct job *job = exchange->job;
    const struct bundle_info *info = bundle_info(exchange->model->round.bundle);
    struct answer_header headers[ANSWER_HEADERS_MAX];
    size_t n =
        answer_headers(&job->facts, &job->request, info->name, info->digest, headers);
    struct MHD_Response *response = response_from(exchange, &exchange->job->png);
    for (size_t i = 0; response != NULL && i < n; i++)
        (void)MHD_add_response_header(response, headers[i].name, headers[i].value);
    return send_response(exchange, response, "image/png", 200);
}

/* OpenMetrics is for those who name it and like it no less than plain text. */
static bool wants_openmetrics(const char *accept)
{
    bool is_named;
    unsigned quality = accept_quality(accept, "application/openmetrics-text", &is_named);
    return is_named && quality > 0 &&
           quality >= accept_quality(accept, "text/plain", NULL);
}

static enum MHD_Result answer_metrics(struct http_exchange *exchange)
{
    const struct http_setting *setting = &exchange->shared->setting;
    struct buf body;
    buf_init(&body, MAX_ANSWER_TEXT);
    exchange->model = model_shelf_take(setting->shelf);
    struct metrics_reader reader = {
        .info = bundle_info(exchange->model->round.bundle),
        .version = setting->version,
        .wants_openmetrics = wants_openmetrics(header(exchange, "Accept")),
    };
    metrics_write(setting->metrics, &reader, &body);
    return send_response(exchange, response_from(exchange, &body),
                         reader.wants_openmetrics ? METRICS_OPENMETRICS : METRICS_TEXT,
                         200);
}

static enum MHD_Result answer_live(struct http_exchange *exchange)
{
    bool alive = engine_is_alive(exchange->shared->setting.engine);
    return answer_text(exchange, alive ? 200 : 503,
                       alive ? "ok" : "the engine's loop is stuck");
}

static enum MHD_Result answer_ready(struct http_exchange *exchange)
{
    if (atomic_load(&exchange->shared->phase) != HTTP_SERVING)
        return answer_text(exchange, 503, "shutting down");
    return answer_live(exchange);
}

static enum MHD_Result answer_finished(struct http_exchange *exchange)
{
    if (exchange->job != NULL && exchange->job->state == JOB_DONE)
        return answer_image(exchange);
    if (exchange->job != NULL)
        exchange->problem = exchange->job->problem;
    return answer_problem(exchange);
}

enum MHD_Result http_exchange_proceed(struct http_exchange *exchange)
{
    static enum MHD_Result (*const handlers[ROUTE_COUNT])(struct http_exchange *) = {
        [ROUTE_GENERATE] = generate,
        [ROUTE_LIVE] = answer_live,
        [ROUTE_READY] = answer_ready,
        [ROUTE_METRICS] = answer_metrics,
    };
    if (exchange->state == EXCHANGE_FINISHED)
        return answer_finished(exchange);
    if (exchange->body.overflowed)
        (void)problem_set(&exchange->problem, PROBLEM_TOO_LARGE, NULL,
                          "a body of at most %d bytes is expected", REQUEST_MAX_BYTES);
    else if (exchange->body.failed)
        (void)problem_set(&exchange->problem, PROBLEM_INTERNAL, NULL,
                          "no memory for the body");
    if (exchange->body.failed)
        return answer_problem(exchange);
    return handlers[exchange->route](exchange);
}

/* What was asked for, without the prompt's text. */
static void log_request(struct log_line *line, const struct job *job)
{
    const struct request *request = &job->request;
    const struct sampling *sampling = &request->sampling;
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    digest_init(&digest);
    digest_add(&digest, request->prompt, request->prompt_bytes);
    digest_finish(&digest, text);
    text[16] = '\0';
    log_count(line, "prompt_bytes", request->prompt_bytes);
    log_text(line, "prompt_digest", text);
    log_count(line, "seed", sampling->seed);
    log_count(line, "steps", job->facts.steps);
    log_count(line, "evaluations", job->facts.evaluations);
    log_count(line, "width", sampling->width);
    log_count(line, "height", sampling->height);
    log_text(line, "solver", solver_name(sampling->solver));
    log_real(line, "guidance", sampling->guidance);
    log_real(line, "queue_ms", clock_milliseconds(job->facts.queue));
    log_real(line, "encode_ms", clock_milliseconds(job->facts.encode));
    log_real(line, "steps_ms", clock_milliseconds(job->facts.stepping));
    log_real(line, "decode_ms", clock_milliseconds(job->facts.decode));
}

void http_exchange_report(const struct http_exchange *exchange)
{
    struct log_line line;
    size_t route = exchange->has_route ? exchange->route : ROUTE_COUNT;
    metrics_count_answer(exchange->shared->setting.metrics, route, exchange->status);
    /* Probes come every second and say nothing new while all is well. */
    if (exchange->has_route && exchange->route != ROUTE_GENERATE &&
        exchange->status == 200)
        return;
    log_begin(&line, exchange->status >= 500 ? "error" : "info", "request");
    log_text(&line, "request_id", exchange->request_id);
    log_text(&line, "method", exchange->method);
    log_text(&line, "route", exchange->has_route ? route_path(exchange->route) : "none");
    log_count(&line, "status", (uint64_t)exchange->status);
    log_count(&line, "bytes", exchange->answer_bytes);
    log_real(&line, "milliseconds", clock_milliseconds(clock_now() - exchange->arrived));
    if (exchange->problem.kind != PROBLEM_NONE) {
        log_text(&line, "problem", problem_type(exchange->problem.kind));
        log_text(&line, "field", exchange->problem.field);
    }
    if (exchange->job != NULL)
        log_request(&line, exchange->job);
    log_end(&line);
}
