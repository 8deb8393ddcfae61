#include "api/openai_answer.h"

#include "api/answer_event.h"
#include "api/base64.h"
#include "api/json_text.h"
#include "api/openai.h"
#include "api/request_query.h"

#include <jansson.h>

#include <stdio.h>

enum { SIZE_TEXT = 48 };

static void write_size(const struct answer *answer, char text[SIZE_TEXT])
{
    const struct sampling *sampling = &answer->request->sampling;
    (void)snprintf(text, SIZE_TEXT, "%zux%zu", sampling->width, sampling->height);
}

static json_t *usage(const struct openai_answer *openai, size_t images)
{
    const struct answer *answer = openai->answer;
    const struct sampling *sampling = &answer->request->sampling;
    json_int_t in = (json_int_t)answer->facts->prompt_tokens;
    size_t patches = sampling->width / openai->patch * (sampling->height / openai->patch);
    json_int_t out = (json_int_t)patches * (json_int_t)images;
    return json_pack("{s:I, s:I, s:I, s:{s:I, s:I}}", "input_tokens", in, "output_tokens",
                     out, "total_tokens", in + out, "input_tokens_details", "text_tokens",
                     in, "image_tokens", (json_int_t)0);
}

static void write_base64(const struct answer_image *image, struct buf *out)
{
    (void)buf_print(out, "\"b64_json\":\"");
    base64_encode(image->png, image->length, out);
    (void)buf_append(out, "\"", 1);
}

/* A query has nothing in it that JSON would escape; the URL in front may. */
static void
write_link(const struct openai_answer *openai, unsigned index, struct buf *out)
{
    const struct answer *answer = openai->answer;
    (void)buf_print(out, "\"url\":");
    json_text_string(openai->public_url, out);
    if (!out->failed)
        out->length--; /* the quote: the string goes on */
    while (!out->failed && out->data[out->length - 1] == '/')
        out->length--; /* the path below begins with one */
    (void)buf_print(out, "/v1/generate?");
    request_query_write(answer->request, index, answer->model_digest, out);
    (void)buf_append(out, "\"", 1);
}

void openai_answer_write(const struct openai_answer *openai, struct buf *out)
{
    const struct answer *answer = openai->answer;
    char size[SIZE_TEXT];
    write_size(answer, size);
    size_t count = openai->public_url != NULL ? answer->request->n : answer->image_count;
    json_text_write_open(json_pack("{s:I, s:s, s:s, s:s, s:I, s:o}", "created",
                                   (json_int_t)openai->created, "output_format", "png",
                                   "size", size, "background", "opaque", "steps",
                                   (json_int_t)answer->facts->steps, "usage",
                                   usage(openai, count)),
                         out);
    (void)buf_print(out, ",\"data\":[");
    for (size_t i = 0; i < count; i++) {
        unsigned index =
            openai->public_url != NULL ? (unsigned)i : answer->images[i].index;
        (void)buf_print(out, "%s{\"seed\":%lu,", i > 0 ? "," : "",
                        (unsigned long)answer->request->sampling.seed + index);
        if (openai->public_url != NULL)
            write_link(openai, index, out);
        else
            write_base64(&answer->images[i], out);
        (void)buf_append(out, "}", 1);
    }
    (void)buf_append(out, "]}", 2);
}

/* An event's members, but for the image; `more` is taken over. */
static void write_event(const struct openai_answer *openai,
                        const char *type,
                        json_t *more,
                        const struct answer_image *image,
                        struct buf *out)
{
    char size[SIZE_TEXT];
    write_size(openai->answer, size);
    json_t *object =
        json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:I}", "type", type, "created_at",
                  (json_int_t)openai->created, "size", size, "quality", "auto",
                  "background", "opaque", "output_format", "png", "seed",
                  (json_int_t)openai->answer->request->sampling.seed + image->index);
    if (more == NULL || json_object_update(object, more) != 0)
        out->failed = true;
    json_decref(more);
    answer_event_begin(type, out);
    json_text_write_open(object, out);
    (void)buf_append(out, ",", 1);
    write_base64(image, out);
    (void)buf_append(out, "}", 1);
    answer_event_end(out);
}

void openai_event_partial(const struct openai_answer *openai,
                          const struct answer_image *preview,
                          unsigned index,
                          struct buf *out)
{
    write_event(openai, "image_generation.partial_image",
                json_pack("{s:I}", "partial_image_index", (json_int_t)index), preview,
                out);
}

void openai_event_completed(const struct openai_answer *openai, struct buf *out)
{
    write_event(openai, "image_generation.completed",
                json_pack("{s:o, s:I}", "usage", usage(openai, 1), "steps",
                          (json_int_t)openai->answer->facts->steps),
                &openai->answer->images[0], out);
}

void openai_event_error(const struct problem *problem, struct buf *out)
{
    answer_event_begin("error", out);
    openai_error_write(problem, out); /* ends with a newline */
    (void)buf_append(out, "\n", 1);
}

void openai_models_write(const char *name,
                         const char *digest,
                         int64_t created,
                         struct buf *out)
{
    json_text_write(json_pack("{s:s, s:[{s:o, s:s, s:I, s:s, s:s}]}", "object", "list",
                              "data", "id", json_text_make(name), "object", "model",
                              "created", (json_int_t)created, "owned_by", "sluice",
                              "digest", digest),
                    out);
}
