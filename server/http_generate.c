#include "server/http_generate.h"

#include "api/answer.h"
#include "api/request_json.h"
#include "base/clock.h"
#include "base/random.h"
#include "server/http_answer.h"
#include "server/verdict.h"

/* What an evaluation costs, in pixels. */
static double pixels(const struct request *request)
{
    return (double)request->sampling.width * (double)request->sampling.height;
}

/* False, with a problem, when the key's rate is used up. */
static bool charge(struct http_exchange *exchange, const struct request *request)
{
    struct api_key *key = exchange->key;
    if (key == NULL || !key->is_limited)
        return true;
    double cost = pixels(request) * request->n * sampling_evaluations(&request->sampling);
    double wait = token_bucket_take(&key->bucket, cost, clock_now());
    if (wait > 0.0) {
        metrics_add(exchange->shared->setting.metrics, METRIC_REFUSALS, REFUSAL_RATE,
                    1.0);
        (void)problem_set(&exchange->problem, PROBLEM_RATE_LIMITED, NULL,
                          "the key %s may ask for %.0f evaluations x pixels a second",
                          key->name, key->bucket.rate);
        exchange->problem.retry_after = wait;
        return false;
    }
    exchange->charged = cost;
    return true;
}

/* Only what was computed is paid for. */
static void settle(struct http_exchange *exchange)
{
    const struct job *job = exchange->job;
    if (exchange->charged <= 0.0)
        return;
    double used = job == NULL ? 0.0 : pixels(&job->request) * job->facts.evaluations;
    token_bucket_give_back(&exchange->key->bucket, exchange->charged - used);
    exchange->charged = 0.0;
}

/* The engine's thread: the answer is there. */
static void job_done(struct job *job, void *context)
{
    struct http_exchange *exchange = context;
    (void)job;
    client_watch_remove(exchange->shared->watch, &exchange->client);
    exchange->state = EXCHANGE_FINISHED;
    MHD_resume_connection(exchange->connection);
}

/* The connection is suspended, then watched, then the job handed over: a worker may be
 * done before this function returns. */
static enum MHD_Result hand_over(struct http_exchange *exchange)
{
    struct err err;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int client = info->connect_fd;
    exchange->state = EXCHANGE_WAITING;
    exchange->is_pending = pending_add(&exchange->shared->unanswered, SIZE_MAX);
    http_deadlines_enter(exchange->listener->deadlines,
                         http_exchange_deadline(exchange->connection),
                         HTTP_PHASE_WAITING);
    MHD_suspend_connection(exchange->connection);
    client_watch_add(exchange->shared->watch, &exchange->client, client, exchange->job);
    if (engine_submit(exchange->shared->setting.engine, exchange->job, &err) == ERR_OK)
        return MHD_YES;

    client_watch_remove(exchange->shared->watch, &exchange->client);
    (void)problem_set(&exchange->problem, PROBLEM_UNAVAILABLE, NULL, "%s", err.message);
    exchange->problem.retry_after = 1.0;
    job_destroy(exchange->job);
    exchange->job = NULL;
    exchange->state = EXCHANGE_FINISHED;
    MHD_resume_connection(exchange->connection);
    return MHD_YES;
}

enum MHD_Result http_generate_submit(struct http_exchange *exchange,
                                     struct request *request)
{
    struct err err;
    if (!charge(exchange, request)) {
        request_finish(request);
        return http_answer_problem(exchange);
    }
    if (job_create(&exchange->job, request, exchange->model, &err) != ERR_OK) {
        request_finish(request);
        settle(exchange);
        (void)problem_set(&exchange->problem, PROBLEM_INTERNAL, NULL, "%s", err.message);
        return http_answer_problem(exchange);
    }
    exchange->job->done = job_done;
    exchange->job->done_context = exchange;
    return hand_over(exchange);
}

enum MHD_Result http_generate(struct http_exchange *exchange)
{
    struct request request;
    if (atomic_load(&exchange->shared->stage) == HTTP_REFUSING) {
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
    return http_generate_submit(exchange, &request);
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

enum MHD_Result http_generate_finish(struct http_exchange *exchange)
{
    const struct job *job = exchange->job;
    settle(exchange);
    if (job != NULL && job->state == JOB_DONE)
        return answer_image(exchange);
    if (job != NULL)
        exchange->problem = job->problem;
    if (exchange->problem.kind != PROBLEM_CLIENT_GONE)
        return http_answer_problem(exchange);
    /* There is nobody to answer: the connection is closed. */
    exchange->status = problem_status(PROBLEM_CLIENT_GONE);
    return MHD_NO;
}
