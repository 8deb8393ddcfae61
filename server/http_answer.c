#include "server/http_answer.h"

#include <stdio.h>
#include <stdlib.h>

enum MHD_Result http_answer_send(struct http_exchange *exchange,
                                 struct MHD_Response *response,
                                 const char *content_type,
                                 int status)
{
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", content_type);
    (void)MHD_add_response_header(response, "X-Request-Id", exchange->request_id);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
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
    problem_write(problem, exchange->request_id, &body);
    struct MHD_Response *response = http_answer_from(exchange, &body);
    if (response != NULL)
        add_headers(response, problem);
    return http_answer_send(exchange, response, PROBLEM_CONTENT_TYPE,
                            problem_status(problem->kind));
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
