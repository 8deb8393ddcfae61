#include "server/http_generate.h"

#include "api/answer_event.h"
#include "api/cacheable.h"
#include "api/form.h"
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

void http_generate_settle(struct http_exchange *exchange)
{
    struct http_images *images = exchange->images;
    if (exchange->charged <= 0.0 || (images != NULL && !http_images_are_over(images)))
        return;
    double used = images == NULL ? 0.0
                                 : pixels(&images->jobs[0]->request) *
                                       http_images_evaluations(images);
    token_bucket_give_back(&exchange->key->bucket, exchange->charged - used);
    exchange->charged = 0.0;
}

bool http_generate_check(struct http_exchange *exchange)
{
    return form_is_acceptable(http_exchange_accept(exchange), &exchange->problem);
}

bool http_generate_open(struct http_exchange *exchange)
{
    if (atomic_load(&exchange->shared->stage) == HTTP_REFUSING) {
        (void)problem_set(&exchange->problem, PROBLEM_UNAVAILABLE, NULL,
                          "the server is shutting down; try another replica");
        exchange->problem.retry_after = 1.0;
        return false;
    }
    exchange->model = model_shelf_take(exchange->shared->setting.shelf);
    return true;
}

enum MHD_Result http_generate_submit(struct http_exchange *exchange,
                                     struct request *request,
                                     const char *tag,
                                     const struct http_events *events)
{
    if (!charge(exchange, request)) {
        request_finish(request);
        return http_answer_problem(exchange);
    }
    if (http_images_start(exchange, request, tag, events))
        return MHD_YES;
    http_generate_settle(exchange);
    return http_answer_problem(exchange);
}

enum MHD_Result http_generate(struct http_exchange *exchange)
{
    struct request request;
    struct problem *problem = &exchange->problem;
    const char *accept = http_exchange_accept(exchange);
    if (!http_generate_open(exchange))
        return http_answer_problem(exchange);
    struct request_limits limits = exchange->model->limits;
    limits.allows_previews = form_allows_previews(accept);
    const char *body = http_exchange_body_text(exchange);
    if (!request_parse(&request, body, exchange->body.length, &limits, random_u32(),
                       problem))
        return http_answer_problem(exchange);
    if (!form_choose(&exchange->form, accept, &request, problem)) {
        request_finish(&request);
        return http_answer_problem(exchange);
    }
    return http_generate_submit(exchange, &request, "",
                                exchange->form == FORM_EVENTS ? &http_generate_events
                                                              : NULL);
}

bool http_generate_is_done(struct http_exchange *exchange, enum MHD_Result *result)
{
    struct http_images *images = exchange->images;
    if (http_images_has_stream(images))
        return true;
    http_generate_settle(exchange);
    if (exchange->problem.kind == PROBLEM_NONE && images->failed == NULL)
        return true;
    if (images->failed != NULL)
        exchange->problem = images->failed->problem;
    if (exchange->problem.kind != PROBLEM_CLIENT_GONE) {
        *result = http_answer_problem(exchange);
    } else {
        /* There is nobody to answer: the connection is closed. */
        exchange->status = problem_status(PROBLEM_CLIENT_GONE);
        *result = MHD_NO;
    }
    return false;
}

enum MHD_Result http_generate_stream(struct http_exchange *exchange)
{
    struct MHD_Response *response = http_images_stream(exchange->images);
    if (response != NULL)
        /* nginx would keep events back otherwise. */
        (void)MHD_add_response_header(response, "X-Accel-Buffering", "no");
    return http_answer_send(exchange, response, form_type(FORM_EVENTS), 200);
}

enum MHD_Result http_generate_png(struct http_exchange *exchange)
{
    struct job *job = exchange->images->jobs[0];
    const struct bundle_info *info = bundle_info(exchange->model->round.bundle);
    struct answer_header headers[ANSWER_HEADERS_MAX];
    size_t n =
        answer_headers(&job->facts, &job->request, info->name, info->digest, headers);
    struct MHD_Response *response = http_answer_from(exchange, &job->png);
    for (size_t i = 0; response != NULL && i < n; i++)
        (void)MHD_add_response_header(response, headers[i].name, headers[i].value);
    return http_answer_send(exchange, response, form_type(FORM_PNG), 200);
}

enum MHD_Result http_generate_give(struct http_exchange *exchange)
{
    struct answer_image files[REQUEST_MAX_IMAGES];
    struct buf body;
    if (exchange->form == FORM_PNG)
        return http_generate_png(exchange);
    buf_init(&body, HTTP_ANSWER_MAX_IMAGES);
    struct answer answer = http_images_answer(exchange->images, files);
    answer_json_write(&answer, &body);
    return http_answer_json(exchange, &body);
}

enum MHD_Result http_generate_finish(struct http_exchange *exchange)
{
    enum MHD_Result result;
    if (!http_generate_is_done(exchange, &result))
        return result;
    return exchange->form == FORM_EVENTS ? http_generate_stream(exchange)
                                         : http_generate_give(exchange);
}

static void queued(const struct http_images *images, size_t index, struct buf *out)
{
    const struct job *job = images->jobs[index];
    answer_event_queued(job->position, (uint64_t)(job->admission.finish * 1e3), out);
}

static void stepped(const struct http_images *images, size_t index, struct buf *out)
{
    const struct job *job = images->jobs[index];
    answer_event_step((unsigned)index, job->facts.steps, job->request.sampling.steps,
                      out);
}

static void previewed(struct http_images *images, size_t index, struct buf *out)
{
    const struct job *job = images->jobs[index];
    struct answer_image image = {job->preview.data, job->preview.length, (unsigned)index};
    answer_event_preview(&image, job->facts.steps, job->request.sampling.steps, out);
}

static void finished(const struct http_images *images, size_t index, struct buf *out)
{
    struct answer_image image;
    struct answer answer = http_images_answer_one(images, index, &image);
    answer_event_image(&answer, out);
}

static void failed(const struct http_images *images, size_t index, struct buf *out)
{
    answer_event_error(&images->jobs[index]->problem, images->request_id, out);
}

const struct http_events http_generate_events = {queued, stepped, previewed, finished,
                                                 failed};
