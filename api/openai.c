#include "api/openai.h"

#include "api/json_text.h"
#include "api/request_field.h"
#include "api/request_json.h"
#include "api/request_query.h"
#include "base/text.h"

#include <jansson.h>

#include <stdio.h>
#include <string.h>

struct name;

/* One member of the body on its way into a request. */
struct reading {
    const struct name *name;
    const json_t *value;
    struct openai_request *out;
    unsigned partial_images;
    bool has_field[REQUEST_FIELD_COUNT];
    struct request_limits limits; /* the service's, previews allowed */
    const struct openai_setting *setting;
    struct problem *problem;
};

/* A field that is one of ours under some name, one that is read in its own way, or one
 * without effect. */
struct name {
    const char *name;
    const char *field;
    bool (*read)(struct reading *reading);
};

/* MAX_LINK: two prompts of characters of four bytes, three as an escape each, and what
 * stands beside them. */
enum {
    MAX_PARTIAL_IMAGES = 3,
    SIDE_SIZE = 11,
    MAX_LINK = 2 * REQUEST_MAX_CHARACTERS * 4 * 3 + 1024,
};

static bool read_field(struct reading *reading)
{
    const char *name = reading->name->name;
    const struct request_field *field = request_field_find(reading->name->field);
    bool *has_field = &reading->has_field[request_field_index(field)];
    if (*has_field)
        return problem_set(reading->problem, PROBLEM_INVALID, name,
                           "%s: %s is given under another name too", name,
                           reading->name->field);
    *has_field = true;
    struct request_value value = json_text_value(name, reading->value);
    return request_field_set(field, &value, &reading->out->request, &reading->limits,
                             reading->problem);
}

/* A string of a few: *index becomes its place. */
static bool read_choice(struct reading *reading,
                        const char *const *choices,
                        size_t count,
                        size_t *index)
{
    char expected[64], found[REQUEST_QUOTE_SIZE];
    const char *text = json_string_value(reading->value);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (text != NULL && strcmp(text, choices[i]) == 0) {
            *index = i;
            return true;
        }
        at += (size_t)snprintf(expected + at, sizeof(expected) - at, "%s\"%s\"",
                               i > 0 ? " or " : "", choices[i]);
    }
    request_quote(found, text != NULL ? text : json_text_kind(reading->value));
    return request_refuse(reading->problem, reading->name->name, expected, found);
}

static bool read_model(struct reading *reading)
{
    const char *model = json_string_value(reading->value);
    const struct openai_setting *setting = reading->setting;
    if (model == NULL)
        return request_refuse(reading->problem, "model", "a string",
                              json_text_kind(reading->value));
    if (strcmp(model, setting->model_name) == 0 ||
        strcmp(model, setting->model_digest) == 0)
        return true;
    char found[REQUEST_QUOTE_SIZE];
    request_quote(found, model);
    return problem_set(reading->problem, PROBLEM_NOT_FOUND, "model",
                       "model: the one that is loaded is \"%.64s\", asked for is \"%s\"",
                       setting->model_name, found);
}

/* One side of "WxH": digits only, few enough for a double to hold them. */
static bool set_side(struct reading *reading, const char *field, const char *digits)
{
    uint64_t pixels = 0;
    if (!text_to_unsigned(digits, 0, UINT64_MAX, &pixels))
        pixels = UINT64_MAX;
    struct request_value value = {
        .name = "size", .kind = REQUEST_VALUE_NUMBER, .number = (double)pixels};
    return request_field_set(request_field_find(field), &value, &reading->out->request,
                             &reading->limits, reading->problem);
}

static bool read_size(struct reading *reading)
{
    char width[SIDE_SIZE], height[SIDE_SIZE], found[REQUEST_QUOTE_SIZE];
    const char *size = json_string_value(reading->value);
    if (size != NULL && strcmp(size, "auto") == 0)
        return true;
    int end = 0; /* more digits than fit leave it 0 */
    bool is_good = size != NULL &&
                   sscanf(size, "%10[0-9]x%10[0-9]%n", width, height, &end) == 2 &&
                   end > 0 && size[end] == '\0';
    if (is_good)
        return set_side(reading, "width", width) && set_side(reading, "height", height);
    request_quote(found, size != NULL ? size : json_text_kind(reading->value));
    return request_refuse(reading->problem, "size", "\"auto\" or \"<width>x<height>\"",
                          found);
}

static bool read_response_format(struct reading *reading)
{
    static const char *const choices[] = {"b64_json", "url"};
    size_t choice = 0;
    if (!read_choice(reading, choices, 2, &choice))
        return false;
    reading->out->wants_links = choice == 1;
    return choice == 0 || reading->setting->has_links ||
           request_refuse(reading->problem, "response_format",
                          "\"b64_json\", as this service has no public URL", "\"url\"");
}

static bool read_output_format(struct reading *reading)
{
    static const char *const choices[] = {"png"};
    size_t choice = 0;
    return read_choice(reading, choices, 1, &choice);
}

static bool read_stream(struct reading *reading)
{
    if (!json_is_boolean(reading->value))
        return request_refuse(reading->problem, "stream", "true or false",
                              json_text_kind(reading->value));
    reading->out->is_stream = json_is_true(reading->value);
    return true;
}

static bool read_partial_images(struct reading *reading)
{
    double value = json_number_value(reading->value);
    if (!json_is_number(reading->value) || value < 0 || value > MAX_PARTIAL_IMAGES ||
        value != (double)(unsigned)value)
        return request_refuse(reading->problem, "partial_images",
                              "an integer from 0 to 3", "another value");
    reading->partial_images = (unsigned)value;
    return true;
}

static const struct name names[] = {
    {"prompt", "prompt", read_field},
    {"n", "n", read_field},
    {"model", NULL, read_model},
    {"size", NULL, read_size},
    {"response_format", NULL, read_response_format},
    {"output_format", NULL, read_output_format},
    {"stream", NULL, read_stream},
    {"partial_images", NULL, read_partial_images},
    {"quality", NULL, NULL},
    {"style", NULL, NULL},
    {"background", NULL, NULL},
    {"moderation", NULL, NULL},
    {"output_compression", NULL, NULL},
    {"user", NULL, NULL},
    {"negative_prompt", "negative_prompt", read_field},
    {"seed", "seed", read_field},
    {"rng_seed", "seed", read_field},
    {"steps", "steps", read_field},
    {"num_inference_steps", "steps", read_field},
    {"guidance", "guidance", read_field},
    {"guidance_scale", "guidance", read_field},
    {"solver", "solver", read_field},
    {"deadline_ms", "deadline_ms", read_field},
    {"min_steps", "min_steps", read_field},
};

enum { NAME_COUNT = sizeof(names) / sizeof(names[0]) };

static bool read_member(struct reading *reading, const char *name, const json_t *value)
{
    size_t i = 0;
    while (i < NAME_COUNT && strcmp(name, names[i].name) != 0)
        i++;
    if (i == NAME_COUNT) {
        char quoted[REQUEST_QUOTE_SIZE];
        request_quote(quoted, name);
        return problem_set(reading->problem, PROBLEM_INVALID, quoted,
                           "there is no field \"%s\"", quoted);
    }
    if (json_is_null(value) || names[i].read == NULL)
        return true;
    reading->name = &names[i];
    reading->value = value;
    return names[i].read(reading);
}

static bool read_object(struct reading *reading, json_t *object)
{
    for (void *at = json_object_iter(object); at != NULL;
         at = json_object_iter_next(object, at)) {
        if (!read_member(reading, json_object_iter_key(at), json_object_iter_value(at)))
            return false;
    }
    if (!json_is_string(json_object_get(object, "prompt")))
        return request_refuse(reading->problem, "prompt", "a string", "nothing");
    return true;
}

/* As many previews as partial images were asked for, at most, at equal distances: the
 * least p with (steps - 1) / p <= partial_images. */
static bool set_previews(struct reading *reading)
{
    struct openai_request *out = reading->out;
    unsigned parts = reading->partial_images + 1;
    if (parts == 1)
        return true;
    if (!out->is_stream)
        return problem_set(reading->problem, PROBLEM_INVALID, "partial_images",
                           "partial_images has no effect without stream");
    out->request.preview_every = (out->request.sampling.steps + parts - 1) / parts;
    return true;
}

/* The general rules know no `size`. */
static bool check(const struct reading *reading)
{
    struct problem *problem = reading->problem;
    if (request_check(&reading->out->request, &reading->limits, problem))
        return true;
    if (strcmp(problem->field, "width") == 0 || strcmp(problem->field, "height") == 0)
        (void)snprintf(problem->field, sizeof(problem->field), "size");
    return false;
}

/* A link is worth nothing when the GET that it names is refused. The last image's is the
 * longest, as its seed is. */
static bool check_links(const struct reading *reading)
{
    const struct openai_request *out = reading->out;
    struct buf query;
    if (!out->wants_links || out->is_stream)
        return true;
    buf_init(&query, MAX_LINK);
    request_query_write(&out->request, out->request.n - 1, reading->setting->model_digest,
                        &query);
    size_t length = query.length;
    bool is_whole = !query.failed;
    buf_finish(&query);
    if (!is_whole)
        return problem_set(reading->problem, PROBLEM_INTERNAL, NULL, "out of memory");
    return length <= REQUEST_MAX_QUERY ||
           problem_set(reading->problem, PROBLEM_INVALID, "response_format",
                       "response_format: a link's query has at most %d bytes, and with "
                       "these prompts it would have %zu; expected \"b64_json\" or "
                       "shorter prompts",
                       REQUEST_MAX_QUERY, length);
}

bool openai_parse(struct openai_request *out,
                  const char *body,
                  size_t length,
                  const struct openai_setting *setting,
                  uint32_t random_seed,
                  struct problem *problem)
{
    json_t *root = json_text_load(body, length, problem);
    if (root == NULL)
        return false;

    struct openai_request request = {0};
    struct reading reading = {.out = &request,
                              .limits = *setting->limits,
                              .setting = setting,
                              .problem = problem};
    reading.limits.allows_previews = true;
    bool is_good = request_init(&request.request, setting->limits, problem) &&
                   read_object(&reading, root) && set_previews(&reading);
    if (is_good)
        request_draw_seed(&request.request, random_seed);
    is_good = is_good && check(&reading) && check_links(&reading);
    json_decref(root);
    if (is_good)
        *out = request;
    else
        openai_finish(&request);
    return is_good;
}

void openai_finish(struct openai_request *request)
{
    if (request != NULL)
        request_finish(&request->request);
}

int openai_error_status(const struct problem *problem)
{
    return problem->kind == PROBLEM_INVALID ? 400 : problem_status(problem->kind);
}

static const char *error_type(int status)
{
    if (status == 429)
        return "rate_limit_error";
    if (status >= 500)
        return "server_error";
    return status == 401 ? "authentication_error" : "invalid_request_error";
}

void openai_error_write(const struct problem *problem, struct buf *out)
{
    const char *code = problem_type(problem->kind);
    if (problem->kind == PROBLEM_NOT_FOUND && strcmp(problem->field, "model") == 0)
        code = "model_not_found";
    const char *param = problem->field[0] != '\0' ? problem->field : NULL;
    json_text_write(json_pack("{s:{s:s, s:s, s:s?, s:s}}", "error", "message",
                              problem->detail, "type",
                              error_type(openai_error_status(problem)), "param", param,
                              "code", code),
                    out);
    (void)buf_append(out, "\n", 1);
}
