#include "server/http_sdapi.h"

#include "api/form.h"
#include "api/sdapi.h"
#include "api/sdapi_answer.h"
#include "base/random.h"
#include "server/http_answer.h"
#include "server/http_generate.h"

enum MHD_Result http_sdapi(struct http_exchange *exchange)
{
    struct request request;
    if (!http_generate_open(exchange))
        return http_answer_problem(exchange);
    const char *body = http_exchange_body_text(exchange);
    if (!sdapi_parse(&request, body, exchange->body.length, &exchange->model->limits,
                     random_u32(), &exchange->problem))
        return http_answer_problem(exchange);
    return http_generate_submit(exchange, &request, "", NULL);
}

enum MHD_Result http_sdapi_finish(struct http_exchange *exchange)
{
    enum MHD_Result result;
    struct answer_image files[REQUEST_MAX_IMAGES];
    struct buf body;
    if (!http_generate_is_done(exchange, &result))
        return result;
    struct answer answer = http_images_answer(exchange->images, files);
    struct request request = *answer.request;
    request.n = (unsigned)answer.image_count; /* a job's own is 1 */
    answer.request = &request;
    buf_init(&body, HTTP_ANSWER_MAX_IMAGES);
    sdapi_answer_write(&answer, exchange->model->round.version, &body);
    return http_answer_json(exchange, &body);
}

enum MHD_Result http_sdapi_progress(struct http_exchange *exchange)
{
    struct request request;
    if (!http_generate_open(exchange) ||
        !request_init(&request, &exchange->model->limits, &exchange->problem) ||
        !http_images_estimate(exchange, &request))
        return http_answer_problem(exchange);
    return MHD_YES;
}

enum MHD_Result http_sdapi_progress_finish(struct http_exchange *exchange)
{
    const struct job *job = exchange->images->jobs[0];
    struct buf body;
    if (exchange->problem.kind != PROBLEM_NONE)
        return http_answer_problem(exchange);
    const struct sdapi_progress progress = {
        .step = job->oldest.steps_done,
        .steps = job->oldest.steps,
        .eta_milliseconds = (uint64_t)(job->oldest.seconds_left * 1e3),
    };
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    sdapi_progress_write(&progress, &body);
    return http_answer_json(exchange, &body);
}

/* The present model's name and digest. */
static const struct bundle_info *present(struct http_exchange *exchange)
{
    exchange->model = model_shelf_take(exchange->shared->setting.shelf);
    return bundle_info(exchange->model->round.bundle);
}

enum MHD_Result http_sdapi_options(struct http_exchange *exchange)
{
    const struct bundle_info *info = present(exchange);
    struct buf body;
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    sdapi_options_write(info->name, info->digest, &body);
    return http_answer_json(exchange, &body);
}

enum MHD_Result http_sdapi_models(struct http_exchange *exchange)
{
    const struct bundle_info *info = present(exchange);
    struct buf body;
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    sdapi_models_write(info->name, info->digest, &body);
    return http_answer_json(exchange, &body);
}

enum MHD_Result http_sdapi_samplers(struct http_exchange *exchange)
{
    struct buf body;
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    sdapi_samplers_write(&body);
    return http_answer_json(exchange, &body);
}
