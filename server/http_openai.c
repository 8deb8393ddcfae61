#include "server/http_openai.h"

#include "api/form.h"
#include "api/openai.h"
#include "api/openai_answer.h"
#include "base/random.h"
#include "server/http_answer.h"
#include "server/http_generate.h"

#include <time.h>

static struct openai_answer speak_of(const struct http_images *images,
                                     const struct answer *answer)
{
    return (struct openai_answer){
        .answer = answer,
        .created = (int64_t)time(NULL),
        .patch = images->jobs[0]->model->limits.patch,
    };
}

static void say_nothing(const struct http_images *images, size_t index, struct buf *out)
{
    (void)images;
    (void)index;
    (void)out;
}

static void previewed(struct http_images *images, size_t index, struct buf *out)
{
    const struct job *job = images->jobs[index];
    struct answer_image file,
        preview = {job->preview.data, job->preview.length, (unsigned)index};
    struct answer answer = http_images_answer_one(images, index, &file);
    struct openai_answer words = speak_of(images, &answer);
    openai_event_partial(&words, &preview, images->previews++, out);
}

static void finished(const struct http_images *images, size_t index, struct buf *out)
{
    struct answer_image file;
    struct answer answer = http_images_answer_one(images, index, &file);
    struct openai_answer words = speak_of(images, &answer);
    openai_event_completed(&words, out);
}

static void failed(const struct http_images *images, size_t index, struct buf *out)
{
    openai_event_error(&images->jobs[index]->problem, out);
}

static const struct http_events events = {say_nothing, say_nothing, previewed, finished,
                                          failed};

enum MHD_Result http_openai(struct http_exchange *exchange)
{
    struct openai_request request;
    if (!http_generate_open(exchange))
        return http_answer_problem(exchange);
    const struct bundle_info *info = bundle_info(exchange->model->round.bundle);
    const struct openai_setting setting = {
        .limits = &exchange->model->limits,
        .model_name = info->name,
        .model_digest = info->digest,
        .has_links = exchange->shared->setting.public_url[0] != '\0',
    };
    const char *body = http_exchange_body_text(exchange);
    if (!openai_parse(&request, body, exchange->body.length, &setting, random_u32(),
                      &exchange->problem))
        return http_answer_problem(exchange);
    exchange->form = request.is_stream ? FORM_EVENTS : FORM_JSON;
    exchange->wants_links = request.wants_links;
    return http_generate_submit(exchange, &request.request, "",
                                request.is_stream ? &events : NULL);
}

enum MHD_Result http_openai_finish(struct http_exchange *exchange)
{
    enum MHD_Result result;
    struct answer_image files[REQUEST_MAX_IMAGES];
    struct buf body;
    if (!http_generate_is_done(exchange, &result))
        return result;
    if (exchange->form == FORM_EVENTS)
        return http_generate_stream(exchange);
    struct answer answer = http_images_answer(exchange->images, files);
    struct request request = *answer.request;
    request.n = (unsigned)answer.image_count; /* links are made for so many */
    answer.request = &request;
    struct openai_answer words = speak_of(exchange->images, &answer);
    if (exchange->wants_links)
        words.public_url = exchange->shared->setting.public_url;
    buf_init(&body, HTTP_ANSWER_MAX_IMAGES);
    openai_answer_write(&words, &body);
    return http_answer_json(exchange, &body);
}

enum MHD_Result http_openai_models(struct http_exchange *exchange)
{
    struct buf body;
    exchange->model = model_shelf_take(exchange->shared->setting.shelf);
    const struct bundle_info *info = bundle_info(exchange->model->round.bundle);
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    openai_models_write(info->name, info->digest, exchange->model->opened, &body);
    return http_answer_json(exchange, &body);
}
