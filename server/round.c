#include "server/round.h"

#include "api/png_image.h"
#include "base/clock.h"
#include "base/size.h"
#include "model/pixels.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_TOKENS = 512, MAX_PARAMETERS_TEXT = 32 * 1024 };

static enum err_code encode_prompt(const struct round_setting *setting,
                                   const struct run *run,
                                   struct context *context,
                                   struct err *err)
{
    uint32_t ids[MAX_TEXT_TOKENS];
    const struct text_encoder *encoder = bundle_text_encoder(setting->bundle);
    struct token_ids out = {.ids = ids, .room = MAX_TEXT_TOKENS};
    enum err_code code =
        tokenizer_encode_prompt(bundle_tokenizer(setting->bundle), context->prompt,
                                context->prompt_bytes, &out, err);
    if (code != ERR_OK)
        return code;
    context->tokens = out.used;
    context->tokens_total = out.total;
    struct text_tokens tokens = {ids, context->condition.tokens, out.used};
    return encoder->encode(encoder->self, run, &tokens, context_values(context), err);
}

/* Makes the contexts that the cache did not have, and the trajectory with its noise. */
static enum err_code encode(struct round *round, const struct run *run, struct err *err)
{
    const struct round_setting *setting = round->setting;
    struct job *job = round->jobs[0];
    const struct bundle_info *info = bundle_info(setting->bundle);
    const struct {
        const char *text;
        size_t bytes;
    } prompts[JOB_CONTEXTS] = {
        {job->request.prompt, job->request.prompt_bytes},
        {job->request.negative_prompt, job->request.negative_prompt_bytes},
    };
    for (size_t i = 0; i < JOB_CONTEXTS && i < job->n_contexts; i++) {
        if (job->contexts[i] != NULL)
            continue;
        struct context *context;
        enum err_code code = context_create(&context, prompts[i].text, prompts[i].bytes,
                                            info->text_tokens, info->text_width, err);
        if (code != ERR_OK)
            return code;
        code = encode_prompt(setting, run, context, err);
        if (code != ERR_OK) {
            context_release(context);
            return code;
        }
        job->contexts[i] = context;
    }
    return trajectory_create(&job->trajectory, &job->request.sampling, &info->scheduler,
                             info->patch, info->latent_channels, err);
}

/* One evaluation for all, then one solver update each. */
static enum err_code step(struct round *round, const struct run *run, struct err *err)
{
    struct velocity_item items[ROUND_MAX_JOBS * TRAJECTORY_MAX_ITEMS];
    const struct velocity *velocity = bundle_velocity(round->setting->bundle);
    size_t n = 0;
    for (size_t i = 0; i < round->n; i++) {
        struct job *job = round->jobs[i];
        const struct condition *negative =
            job->n_contexts > 1 ? &job->contexts[1]->condition : NULL;
        n += trajectory_want(job->trajectory, &job->contexts[0]->condition, negative,
                             &items[n]);
    }
    enum err_code code = velocity->eval(velocity->self, run, items, n, err);
    for (size_t i = 0; code == ERR_OK && i < round->n; i++)
        trajectory_give(round->jobs[i]->trajectory);
    return code;
}

static enum err_code write_png(struct job *job,
                               const struct round_setting *setting,
                               const uint8_t *rgb,
                               struct err *err)
{
    struct buf *png = job->wants_preview ? &job->preview : &job->png;
    const struct bundle_info *info = bundle_info(setting->bundle);
    const struct sampling *sampling = &job->request.sampling;
    struct buf text;
    buf_init(&text, MAX_PARAMETERS_TEXT);
    if (setting->png_text && !job->wants_preview)
        answer_parameters_text(&job->request, info->name, info->digest, setting->version,
                               &text);
    enum err_code code =
        text.failed ? err_set(err, ERR_NO_MEMORY, "no memory for the picture's text")
                    : png_image_encode(png, rgb, sampling->width, sampling->height,
                                       text.data, err);
    buf_finish(&text);
    return code;
}

static enum err_code decode(struct round *round, const struct run *run, struct err *err)
{
    const struct round_setting *setting = round->setting;
    struct job *job = round->jobs[0];
    const struct autoencoder *autoencoder = bundle_autoencoder(setting->bundle);
    const struct sampling *sampling = &job->request.sampling;
    size_t values = sampling->width * sampling->height * 3;
    size_t height = sampling->height / autoencoder->patch;
    size_t width = sampling->width / autoencoder->patch;
    float *pixels = malloc(values * sizeof(*pixels));
    float *preview = malloc(height * width * autoencoder->channels * sizeof(*preview));
    uint8_t *rgb = malloc(values);
    enum err_code code = ERR_OK;
    if (pixels == NULL || rgb == NULL || preview == NULL)
        code = err_set(err, ERR_NO_MEMORY, "no memory for %zux%zu pixels",
                       sampling->width, sampling->height);
    if (code == ERR_OK && job->wants_preview)
        trajectory_preview(job->trajectory, preview);
    struct latent latent = {
        .values = job->wants_preview ? preview : trajectory_latent(job->trajectory),
        .height = height,
        .width = width,
    };
    if (code == ERR_OK)
        code = autoencoder->decode(autoencoder->self, run, &latent, pixels, err);
    if (code == ERR_OK) {
        pixels_to_bytes(pixels, values, rgb);
        code = write_png(job, setting, rgb, err);
    }
    free(pixels);
    free(preview);
    free(rgb);
    return code;
}

void round_execute(struct round *round, struct arena *scratch)
{
    static enum err_code (*const works[BATCHER_WORK_COUNT])(
        struct round *, const struct run *, struct err *) = {
        [BATCHER_DECODE] = decode,
        [BATCHER_ENCODE] = encode,
        [BATCHER_STEP] = step,
    };
    uint64_t start = clock_now();
    struct run run = {.scratch = scratch, .stop = &round->stop, .team = &round->team};
    round->code = works[round->work](round, &run, &round->err);
    team_close(&round->team);
    round->took = clock_now() - start;
}
