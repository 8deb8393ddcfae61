#include "api/about.h"

#include "api/json_memory.h"
#include "api/json_text.h"
#include "api/request_field.h"
#include "api/sampler_name.h"
#include "base/clock.h"

#include <jansson.h>

#include <math.h>
#include <string.h>

/* {"minimum": 16, "maximum": 4096, "multiple_of": 16}; integers where they are. */
static json_t *range(const char *field, const struct request_limits *limits)
{
    struct request_range range = request_field_range(request_field_find(field), limits);
    if (range.multiple_of == 0)
        return json_pack("{s:f, s:f}", "minimum", range.low, "maximum", range.high);
    return json_pack("{s:I, s:I, s:I}", "minimum", (json_int_t)range.low, "maximum",
                     (json_int_t)range.high, "multiple_of",
                     (json_int_t)range.multiple_of);
}

static json_t *limits_of(const struct about *about)
{
    static const char *const fields[] = {"seed",     "steps", "width",      "height",
                                         "guidance", "n",     "deadline_ms"};
    json_t *out =
        json_pack("{s:i, s:I, s:I}", "prompt_characters", REQUEST_MAX_CHARACTERS,
                  "prompt_tokens", (json_int_t)about->prompt_tokens, "pixels",
                  (json_int_t)about->limits->max_pixels);
    bool is_whole = out != NULL;
    for (size_t i = 0; is_whole && i < sizeof(fields) / sizeof(fields[0]); i++)
        is_whole =
            json_object_set_new(out, fields[i], range(fields[i], about->limits)) == 0;
    if (is_whole)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *defaults_of(const struct sampling *sampling)
{
    return json_pack("{s:I, s:I, s:I, s:f, s:s}", "steps", (json_int_t)sampling->steps,
                     "width", (json_int_t)sampling->width, "height",
                     (json_int_t)sampling->height, "guidance", sampling->guidance,
                     "solver", solver_name(sampling->solver));
}

static json_t *solvers_of(const struct sampling *defaults)
{
    json_t *out = json_array();
    bool is_whole = out != NULL;
    for (unsigned i = 0; is_whole && i < SOLVER_COUNT; i++) {
        struct sampling sampling = *defaults;
        sampling.solver = (enum solver_kind)i;
        is_whole =
            json_array_append_new(
                out, json_pack("{s:s, s:s, s:I}", "name", solver_name(sampling.solver),
                               "sampler", sampler_name(sampling.solver), "evaluations",
                               (json_int_t)sampling_evaluations(&sampling))) == 0;
    }
    if (is_whole)
        return out;
    json_decref(out);
    return NULL;
}

/* NULL without memory, as everywhere. */
static json_t *curve_of(const struct about *about)
{
    json_memory_watch();
    json_t *curve = about->curve != NULL ? json_loads(about->curve, 0, NULL) : NULL;
    if (json_memory_lacked()) {
        json_decref(curve);
        return NULL;
    }
    return curve != NULL ? curve : json_null();
}

void about_model_write(const struct about *about, struct buf *out)
{
    json_text_write(
        json_pack("{s:o, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o}", "name",
                  json_text_make(about->model_name), "digest", about->model_digest,
                  "version", about->version, "kernels", about->kernels, "is_distilled",
                  about->limits->is_distilled, "limits", limits_of(about), "defaults",
                  defaults_of(&about->limits->defaults), "solvers",
                  solvers_of(&about->limits->defaults), "curve", curve_of(about)),
        out);
}

static double milliseconds(uint64_t nanoseconds)
{
    return round(clock_milliseconds(nanoseconds) * 1e3) / 1e3;
}

void about_estimate_write(const struct about_estimate *estimate, struct buf *out)
{
    json_t *root =
        json_pack("{s:b, s:I, s:I, s:f, s:f, s:f}", "admitted",
                  estimate->would_be_admitted, "steps", (json_int_t)estimate->steps,
                  "evaluations", (json_int_t)estimate->evaluations, "queue_ms",
                  milliseconds(estimate->queue), "run_ms", milliseconds(estimate->run),
                  "total_ms", milliseconds(estimate->queue + estimate->run));
    if (!estimate->would_be_admitted && estimate->retry_after > 0 &&
        json_object_set_new(root, "retry_after", json_integer(estimate->retry_after)) !=
            0)
        out->failed = true;
    json_text_write(root, out);
}
