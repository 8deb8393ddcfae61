#include "server/http_answer.h"

#include "api/accept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ALLOWED = 2048 };

/* What caches are told: of problems that they keep none. */
static void add_caching(const struct http_exchange *exchange,
                        struct MHD_Response *response,
                        int status)
{
    const char *control = status < 400 ? exchange->cache_control : NULL;
    (void)MHD_add_response_header(response, "Cache-Control",
                                  control == NULL ? CACHEABLE_NEVER : control);
    if (control != NULL && exchange->tag[0] != '\0')
        (void)MHD_add_response_header(response, "ETag", exchange->tag);
    if (exchange->has_route &&
        (exchange->route == ROUTE_GENERATE || exchange->route == ROUTE_GENERATE_GET))
        (void)MHD_add_response_header(response, "Vary", FORM_VARY);
}

/* Lets pages of another origin read the answer, when the operator allows it. */
static void add_origin(const struct http_exchange *exchange,
                       struct MHD_Response *response)
{
    const char *origin = exchange->shared->setting.cors_origin;
    if (origin[0] == '\0' || exchange->listener->port != ROUTE_SERVICE)
        return;
    (void)MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
    (void)MHD_add_response_header(
        response, "Access-Control-Expose-Headers",
        "ETag, Retry-After, Retry-After-Ms, Server-Timing, Sluice-Evaluations, "
        "Sluice-Model, "
        "Sluice-Prompt-Tokens, Sluice-Seed, Sluice-Steps, X-Request-Id");
}

bool http_answer_is_preflight(const struct http_exchange *exchange)
{
    return strcmp(exchange->method, "OPTIONS") == 0 &&
           exchange->listener->port == ROUTE_SERVICE &&
           exchange->shared->setting.cors_origin[0] != '\0' &&
           http_exchange_header(exchange, "Access-Control-Request-Method") != NULL;
}

/* NULL closes the connection. */
static enum MHD_Result queue(struct http_exchange *exchange,
                             struct MHD_Response *response,
                             const char *content_type,
                             int status)
{
    if (response == NULL)
        return MHD_NO;
    if (content_type != NULL)
        (void)MHD_add_response_header(response, "Content-Type", content_type);
    (void)MHD_add_response_header(response, "X-Request-Id", exchange->request_id);
    add_caching(exchange, response, status);
    add_origin(exchange, response);
    if (exchange->must_close || atomic_load(&exchange->shared->stage) != HTTP_SERVING)
        (void)MHD_add_response_header(response, "Connection", "close");
    exchange->status = status;
    http_deadlines_enter(exchange->listener->deadlines,
                         http_exchange_deadline(exchange->connection),
                         HTTP_PHASE_RESPONSE);
    enum MHD_Result result =
        MHD_queue_response(exchange->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result http_answer_send(struct http_exchange *exchange,
                                 struct MHD_Response *response,
                                 const char *content_type,
                                 int status)
{
    if (response != NULL)
        return queue(exchange, response, content_type, status);
    (void)problem_set(&exchange->problem, PROBLEM_INTERNAL, NULL,
                      "no memory for the answer, or it would be too long");
    return http_answer_problem(exchange);
}

static bool is_allowed_origin(const struct http_exchange *exchange)
{
    const char *allowed = exchange->shared->setting.cors_origin;
    const char *origin = http_exchange_header(exchange, "Origin");
    return strcmp(allowed, "*") == 0 || (origin != NULL && strcmp(origin, allowed) == 0);
}

/* Those that mean something here, and the page's own: clients tell their version and
 * platform in headers, and a browser would not send the request without them. */
static void allow_headers(const struct http_exchange *exchange,
                          struct MHD_Response *response)
{
    struct buf allowed;
    buf_init(&allowed, MAX_ALLOWED);
    (void)buf_print(&allowed,
                    "Accept, Authorization, Content-Type, If-None-Match, X-Request-Id");
    if (is_allowed_origin(exchange)) {
        struct buf asked;
        http_exchange_lines(exchange, "Access-Control-Request-Headers", &asked);
        accept_add_tokens(&allowed, asked.data);
        buf_finish(&asked);
    }
    if (allowed.data != NULL)
        (void)MHD_add_response_header(response, "Access-Control-Allow-Headers",
                                      allowed.data);
    buf_finish(&allowed);
}

enum MHD_Result http_answer_preflight(struct http_exchange *exchange)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return http_answer_send(exchange, NULL, NULL, MHD_HTTP_NO_CONTENT);
    (void)MHD_add_response_header(response, "Access-Control-Allow-Methods",
                                  "GET, HEAD, POST");
    allow_headers(exchange, response);
    (void)MHD_add_response_header(response, "Access-Control-Max-Age", "3600");
    return http_answer_send(exchange, response, NULL, MHD_HTTP_NO_CONTENT);
}

struct MHD_Response *http_answer_from(struct http_exchange *exchange, struct buf *body)
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

/* What a problem says in headers too. */
static void add_headers(struct MHD_Response *response, const struct problem *problem)
{
    if (problem->retry_after > 0.0) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%u", problem_retry_seconds(problem));
        (void)MHD_add_response_header(response, "Retry-After", text);
        (void)snprintf(text, sizeof(text), "%u", problem_retry_milliseconds(problem));
        (void)MHD_add_response_header(response, "retry-after-ms", text);
    }
    if (problem->allow != NULL)
        (void)MHD_add_response_header(response, "Allow", problem->allow);
    /* The same for a missing and for a wrong key. */
    if (problem->kind == PROBLEM_UNAUTHORIZED)
        (void)MHD_add_response_header(response, "WWW-Authenticate",
                                      "Bearer realm=\"sluice\"");
}

enum MHD_Result http_answer_problem(struct http_exchange *exchange)
{
    const struct problem *problem = &exchange->problem;
    struct buf body;
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    dialect_write(exchange->dialect, problem, exchange->request_id, &body);
    struct MHD_Response *response = http_answer_from(exchange, &body);
    if (response != NULL)
        add_headers(response, problem);
    return queue(exchange, response, dialect_content_type(exchange->dialect),
                 dialect_status(exchange->dialect, problem));
}

enum MHD_Result
http_answer_text(struct http_exchange *exchange, int status, const char *text)
{
    struct buf body;
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    (void)buf_print(&body, "%s\n", text);
    return http_answer_send(exchange, http_answer_from(exchange, &body),
                            "text/plain; charset=utf-8", status);
}

enum MHD_Result http_answer_json(struct http_exchange *exchange, struct buf *body)
{
    return http_answer_send(exchange, http_answer_from(exchange, body),
                            form_type(FORM_JSON), 200);
}
