#include "server/http_about.h"

#include "api/about.h"
#include "api/form.h"
#include "api/request_json.h"
#include "base/random.h"
#include "server/http_answer.h"
#include "server/http_generate.h"

enum MHD_Result http_about_model(struct http_exchange *exchange)
{
    struct buf body;
    const struct served_model *model = exchange->model =
        model_shelf_take(exchange->shared->setting.shelf);
    const struct bundle_info *info = bundle_info(model->round.bundle);
    const struct about about = {
        .model_name = info->name,
        .model_digest = info->digest,
        .version = model->round.version,
        .kernels = info->kernels,
        .limits = &model->limits,
        .prompt_tokens = info->text_tokens,
        .curve = model->curve,
    };
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    about_model_write(&about, &body);
    return http_answer_json(exchange, &body);
}

enum MHD_Result http_about_estimate(struct http_exchange *exchange)
{
    struct request request;
    if (!http_generate_open(exchange))
        return http_answer_problem(exchange);
    const char *body = http_exchange_body_text(exchange);
    struct request_limits limits = exchange->model->limits;
    limits.allows_previews = true; /* it is not said how the image will be wanted */
    if (!request_parse(&request, body, exchange->body.length, &limits, random_u32(),
                       &exchange->problem) ||
        !http_images_estimate(exchange, &request))
        return http_answer_problem(exchange);
    return MHD_YES;
}

enum MHD_Result http_about_estimate_finish(struct http_exchange *exchange)
{
    const struct job *job = exchange->images->jobs[0];
    struct buf body;
    if (exchange->problem.kind != PROBLEM_NONE)
        return http_answer_problem(exchange);
    const struct admission *admission = &job->admission;
    struct sampling sampling = job->request.sampling;
    if (admission->steps > 0)
        sampling.steps = admission->steps;
    const struct about_estimate estimate = {
        .would_be_admitted = job->problem.kind == PROBLEM_NONE,
        .retry_after = problem_retry_seconds(&job->problem),
        .steps = sampling.steps,
        .evaluations = job->images * sampling_evaluations(&sampling),
        .queue = (uint64_t)(admission->wait * 1e9),
        .run = (uint64_t)((admission->finish - admission->wait) * 1e9),
    };
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    about_estimate_write(&estimate, &body);
    return http_answer_json(exchange, &body);
}
