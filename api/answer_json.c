#include "api/answer_json.h"

#include "api/base64.h"
#include "api/json_text.h"
#include "base/clock.h"

#include <jansson.h>

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Microseconds are all that a clock's reading is worth. */
static double milliseconds(uint64_t nanoseconds)
{
    return round(clock_milliseconds(nanoseconds) * 1e3) / 1e3;
}

/* What is said about all images, without them. */
static json_t *describe(const struct answer *answer)
{
    const struct answer_facts *facts = answer->facts;
    const struct sampling *sampling = &answer->request->sampling;
    return json_pack(
        "{s:{s:o, s:s}, s:I, s:I, s:s, s:f, s:I, s:I, s:{s:I, s:I, s:I, s:b},"
        " s:{s:f, s:f, s:f, s:f}}",
        "model", "name", json_text_make(answer->model_name), "digest",
        answer->model_digest, "width", (json_int_t)sampling->width, "height",
        (json_int_t)sampling->height, "solver", solver_name(sampling->solver), "guidance",
        sampling->guidance, "steps", (json_int_t)facts->steps, "evaluations",
        (json_int_t)facts->evaluations, "prompt_tokens", "used",
        (json_int_t)facts->prompt_tokens, "limit", (json_int_t)facts->prompt_tokens_limit,
        "total", (json_int_t)facts->prompt_tokens_total, "is_cut",
        facts->prompt_tokens_total > facts->prompt_tokens, "timing_ms", "queue",
        milliseconds(facts->queue), "encode", milliseconds(facts->encode), "steps",
        milliseconds(facts->stepping), "decode", milliseconds(facts->decode));
}

void answer_json_file(const struct answer_image *image, struct buf *out)
{
    (void)buf_print(out, "\"media_type\":\"image/png\",\"base64\":\"");
    base64_encode(image->png, image->length, out);
    (void)buf_append(out, "\"", 1);
}

void answer_json_write(const struct answer *answer, struct buf *out)
{
    json_text_write_open(json_text_add(describe(answer), "id", answer->request_id), out);
    (void)buf_print(out, ",\"images\":[");
    for (size_t i = 0; i < answer->image_count; i++) {
        const struct answer_image *image = &answer->images[i];
        (void)buf_print(out, "%s{\"index\":%u,\"seed\":%lu,", i > 0 ? "," : "",
                        image->index,
                        (unsigned long)answer->request->sampling.seed + image->index);
        answer_json_file(image, out);
        (void)buf_append(out, "}", 1);
    }
    (void)buf_append(out, "]}", 2);
}
