#include "api/sdapi_answer.h"

#include "api/base64.h"
#include "api/json_text.h"
#include "api/sampler_name.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>

enum { HASH_DIGITS = 10 };

/* The most bytes of `info`. A character of a prompt takes up to six in JSON, as \u0001;
 * what needs no escape takes up to four. Both prompts stand there once, and each image
 * has its prompt again and both in its text. All else beside an image, the model's name
 * escaped twice among it, is well below REST. */
enum {
    ESCAPED = 6,
    REST = 8 * 1024,
    PROMPTS = 2 + 3 * REQUEST_MAX_IMAGES,
    MAX_INFO =
        PROMPTS * REQUEST_MAX_CHARACTERS * ESCAPED + (1 + REQUEST_MAX_IMAGES) * REST,
};

static json_t *parameters(const struct request *request)
{
    const struct sampling *sampling = &request->sampling;
    return json_pack("{s:s, s:s, s:I, s:I, s:f, s:I, s:I, s:s, s:I, s:I}", "prompt",
                     request->prompt, "negative_prompt", request->negative_prompt, "seed",
                     (json_int_t)sampling->seed, "steps", (json_int_t)sampling->steps,
                     "cfg_scale", sampling->guidance, "width",
                     (json_int_t)sampling->width, "height", (json_int_t)sampling->height,
                     "sampler_name", sampler_name(sampling->solver), "batch_size",
                     (json_int_t)request->n, "n_iter", (json_int_t)1);
}

/* The text inside the index-th image. */
static json_t *infotext(const struct answer *answer, unsigned index, const char *version)
{
    struct request one = *answer->request;
    one.sampling.seed += index;
    struct buf text;
    buf_init(&text, MAX_INFO);
    answer_parameters_text(&one, answer->model_name, answer->model_digest, version,
                           &text);
    json_t *out = text.failed ? NULL : json_text_make(text.data);
    buf_finish(&text);
    return out;
}

/* Adds what there is one of for each image. */
static bool add_images(json_t *info, const struct answer *answer, const char *version)
{
    json_t *seeds = json_array(), *texts = json_array(), *prompts = json_array();
    bool is_whole = seeds != NULL && texts != NULL && prompts != NULL;
    for (size_t i = 0; is_whole && i < answer->image_count; i++) {
        unsigned index = answer->images[i].index;
        json_int_t seed = (json_int_t)answer->request->sampling.seed + index;
        is_whole =
            json_array_append_new(seeds, json_integer(seed)) == 0 &&
            json_array_append_new(texts, infotext(answer, index, version)) == 0 &&
            json_array_append_new(prompts, json_string(answer->request->prompt)) == 0;
    }
    is_whole = json_object_set(info, "all_seeds", seeds) == 0 && is_whole;
    is_whole = json_object_set(info, "infotexts", texts) == 0 && is_whole;
    is_whole = json_object_set(info, "all_prompts", prompts) == 0 && is_whole;
    json_decref(seeds);
    json_decref(texts);
    json_decref(prompts);
    return is_whole;
}

/* `info` is JSON inside of a string. */
static void write_info(const struct answer *answer, const char *version, struct buf *out)
{
    char hash[HASH_DIGITS + 1];
    (void)snprintf(hash, sizeof(hash), "%s", answer->model_digest);
    json_t *info = parameters(answer->request);
    struct buf text;
    buf_init(&text, MAX_INFO);
    bool is_whole = json_object_set_new(info, "sd_model_name",
                                        json_text_make(answer->model_name)) == 0 &&
                    json_object_set_new(info, "sd_model_hash", json_string(hash)) == 0 &&
                    add_images(info, answer, version);
    if (is_whole)
        json_text_write(json_incref(info), &text);
    json_decref(info);
    if (is_whole && !text.failed)
        json_text_string(text.data, out);
    else
        out->failed = true;
    buf_finish(&text);
}

void sdapi_answer_write(const struct answer *answer, const char *version, struct buf *out)
{
    (void)buf_print(out, "{\"images\":[");
    for (size_t i = 0; i < answer->image_count; i++) {
        (void)buf_print(out, "%s\"", i > 0 ? "," : "");
        base64_encode(answer->images[i].png, answer->images[i].length, out);
        (void)buf_append(out, "\"", 1);
    }
    (void)buf_print(out, "],\"parameters\":");
    json_text_write(parameters(answer->request), out);
    (void)buf_print(out, ",\"info\":");
    write_info(answer, version, out);
    (void)buf_append(out, "}", 1);
}

void sdapi_progress_write(const struct sdapi_progress *progress, struct buf *out)
{
    double part = progress->steps > 0 ? (double)progress->step / progress->steps : 0.0;
    json_text_write(
        json_pack(
            "{s:f, s:f, s:{s:b, s:b, s:b, s:s, s:I, s:s, s:I, s:I, s:I}, s:n, s:n}",
            "progress", part, "eta_relative", (double)progress->eta_milliseconds / 1e3,
            "state", "skipped", 0, "interrupted", 0, "stopping_generation", 0, "job",
            progress->steps > 0 ? "txt2img" : "", "job_count",
            (json_int_t)(progress->steps > 0), "job_timestamp", "0", "job_no",
            (json_int_t)0, "sampling_step", (json_int_t)progress->step, "sampling_steps",
            (json_int_t)progress->steps, "current_image", "textinfo"),
        out);
}

/* "house [0123456789]", as their lists name a model. */
static json_t *title(const char *name, const char *digest)
{
    struct buf text;
    buf_init(&text, MAX_INFO);
    (void)buf_print(&text, "%s [%.*s]", name, HASH_DIGITS, digest);
    json_t *out = text.failed ? NULL : json_text_make(text.data);
    buf_finish(&text);
    return out;
}

void sdapi_options_write(const char *model_name,
                         const char *model_digest,
                         struct buf *out)
{
    json_text_write(json_pack("{s:o, s:s, s:s, s:b}", "sd_model_checkpoint",
                              title(model_name, model_digest), "sd_checkpoint_hash",
                              model_digest, "samples_format", "png", "enable_pnginfo", 1),
                    out);
}

void sdapi_models_write(const char *model_name, const char *model_digest, struct buf *out)
{
    char hash[HASH_DIGITS + 1];
    (void)snprintf(hash, sizeof(hash), "%s", model_digest);
    json_text_write(json_pack("[{s:o, s:o, s:s, s:s, s:o, s:n}]", "title",
                              title(model_name, model_digest), "model_name",
                              json_text_make(model_name), "hash", hash, "sha256",
                              model_digest, "filename", json_text_make(model_name),
                              "config"),
                    out);
}

void sdapi_samplers_write(struct buf *out)
{
    (void)buf_append(out, "[", 1);
    for (unsigned i = 0; i < SOLVER_COUNT; i++) {
        enum solver_kind solver = (enum solver_kind)i;
        if (i > 0)
            (void)buf_append(out, ",", 1);
        json_text_write(json_pack("{s:s, s:[s], s:{}}", "name", sampler_name(solver),
                                  "aliases", solver_name(solver), "options"),
                        out);
    }
    (void)buf_append(out, "]", 1);
}
