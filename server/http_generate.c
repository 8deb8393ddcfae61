#include "server/http_generate.h"

#include "api/accept.h"
#include "api/request_json.h"
#include "base/random.h"
#include "server/http_answer.h"

bool http_generate_check(struct http_exchange *exchange)
{
    const char *type = http_exchange_header(exchange, "Content-Type");
    if (!accept_is_json(type))
        return problem_set(&exchange->problem, PROBLEM_MEDIA_TYPE, NULL,
                           "Content-Type: application/json is expected, found %.80s",
                           type == NULL ? "none" : type);
    if (!accept_allows(http_exchange_header(exchange, "Accept"), "image/png"))
        return problem_set(
            &exchange->problem, PROBLEM_NOT_ACCEPTABLE, NULL,
            "the answer is image/png, which the Accept header does not allow");
    return true;
}

enum MHD_Result http_generate_start(struct http_exchange *exchange)
{
    struct request request;
    if (atomic_load(&exchange->shared->phase) == HTTP_REFUSING) {
        (void)problem_set(&exchange->problem, PROBLEM_UNAVAILABLE, NULL,
                          "the server is shutting down; try another replica");
        exchange->problem.retry_after = 1.0;
        return http_answer_problem(exchange);
    }
    exchange->model = model_shelf_take(exchange->shared->setting.shelf);
    const char *body = exchange->body.data == NULL ? "" : exchange->body.data;
    if (!request_parse(&request, body, exchange->body.length, &exchange->model->limits,
                       random_u32(), &exchange->problem))
        return http_answer_problem(exchange);
    return http_exchange_submit(exchange, &request);
}

static enum MHD_Result answer_image(struct http_exchange *exchange)
{
    const struct job *job = exchange->job;
    const struct bundle_info *info = bundle_info(exchange->model->round.bundle);
    struct answer_header headers[ANSWER_HEADERS_MAX];
    size_t n =
        answer_headers(&job->facts, &job->request, info->name, info->digest, headers);
    struct MHD_Response *response = http_answer_from(exchange, &exchange->job->png);
    for (size_t i = 0; response != NULL && i < n; i++)
        (void)MHD_add_response_header(response, headers[i].name, headers[i].value);
    return http_answer_send(exchange, response, "image/png", 200);
}

enum MHD_Result http_generate_answer(struct http_exchange *exchange)
{
    if (exchange->job != NULL && exchange->job->state == JOB_DONE)
        return answer_image(exchange);
    if (exchange->job != NULL)
        exchange->problem = exchange->job->problem;
    return http_answer_problem(exchange);
}
