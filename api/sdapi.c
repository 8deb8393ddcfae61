#include "api/sdapi.h"

#include "api/json_text.h"
#include "api/request_field.h"
#include "api/request_json.h"
#include "api/sampler_name.h"

#include <jansson.h>

#include <stdio.h>
#include <string.h>

/* Their fields that are ours. */
static const struct {
    const char *name, *field;
} names[] = {
    {"prompt", "prompt"}, {"negative_prompt", "negative_prompt"},
    {"steps", "steps"},   {"cfg_scale", "guidance"},
    {"width", "width"},   {"height", "height"},
    {"batch_size", "n"},
};

enum { NAME_COUNT = sizeof(names) / sizeof(names[0]) };

/* A member that is there and not null. */
static const json_t *member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

static bool read_field(const json_t *object,
                       const char *name,
                       const char *field,
                       struct request *request,
                       const struct request_limits *limits,
                       struct problem *problem)
{
    const json_t *found = member(object, name);
    struct request_value value;
    if (found == NULL)
        return true;
    value = json_text_value(name, found);
    return request_field_set(request_field_find(field), &value, request, limits, problem);
}

static bool read_seed(const json_t *object,
                      struct request *request,
                      const struct request_limits *limits,
                      struct problem *problem)
{
    const json_t *seed = member(object, "seed");
    bool is_random = json_is_number(seed) && json_number_value(seed) == -1;
    return is_random || read_field(object, "seed", "seed", request, limits, problem);
}

/* n_iter batches of batch_size images. */
static bool read_iterations(const json_t *object,
                            struct request *request,
                            const struct request_limits *limits,
                            struct problem *problem)
{
    unsigned batch = request->n;
    request->n = 1;
    if (!read_field(object, "n_iter", "n", request, limits, problem))
        return false;
    request->n *= batch;
    if (request->n <= REQUEST_MAX_IMAGES)
        return true;
    return problem_set(problem, PROBLEM_INVALID, "n_iter",
                       "n_iter: expected at most %d images in all, found %u",
                       REQUEST_MAX_IMAGES, request->n);
}

/* "" is their default. */
static bool read_sampler(const json_t *object,
                         const char *name,
                         struct request *request,
                         struct problem *problem)
{
    const json_t *value = member(object, name);
    const char *text = json_string_value(value);
    if (value == NULL || (text != NULL && *text == '\0'))
        return true;
    if (text != NULL && sampler_from_name(text, &request->sampling.solver))
        return true;

    char expected[96], found[REQUEST_QUOTE_SIZE];
    size_t at = (size_t)snprintf(expected, sizeof(expected), "one of");
    for (unsigned i = 0; i < SOLVER_COUNT && at < sizeof(expected); i++)
        at += (size_t)snprintf(expected + at, sizeof(expected) - at, "%s %s",
                               i == 0 ? "" : ",", sampler_name((enum solver_kind)i));
    request_quote(found, text != NULL ? text : json_text_kind(value));
    return request_refuse(problem, name, expected, found);
}

static bool read_object(const json_t *object,
                        struct request *request,
                        const struct request_limits *limits,
                        struct problem *problem)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (!read_field(object, names[i].name, names[i].field, request, limits, problem))
            return false;
    }
    return read_seed(object, request, limits, problem) &&
           read_iterations(object, request, limits, problem) &&
           /* What sampler_name was called before; the newer one is above it. */
           read_sampler(object, "sampler_index", request, problem) &&
           read_sampler(object, "sampler_name", request, problem);
}

bool sdapi_parse(struct request *out,
                 const char *body,
                 size_t length,
                 const struct request_limits *limits,
                 uint32_t random_seed,
                 struct problem *problem)
{
    json_t *root = json_text_load(body, length, problem);
    if (root == NULL)
        return false;

    struct request request = {0};
    bool is_good = request_init(&request, limits, problem) &&
                   read_object(root, &request, limits, problem);
    if (is_good)
        request_draw_seed(&request, random_seed);
    is_good = is_good && request_check(&request, limits, problem);
    json_decref(root);
    if (is_good)
        *out = request;
    else
        request_finish(&request);
    return is_good;
}

void sdapi_error_write(const struct problem *problem, struct buf *out)
{
    json_t *root;
    if (problem->kind == PROBLEM_INVALID)
        root = json_pack("{s:[{s:[s, s], s:s, s:s}]}", "detail", "loc", "body",
                         problem->field, "msg", problem->detail, "type", "value_error");
    else
        root = json_pack("{s:s, s:s, s:s, s:s}", "error", "HTTPException", "detail",
                         problem->detail, "body", "", "errors", "");
    json_text_write(root, out);
    (void)buf_append(out, "\n", 1);
}
