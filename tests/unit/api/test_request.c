#include "api/request_json.h"
#include "api/request_query.h"
#include "base/text.h"
#include "model/scheduler_config.h"
#include "tests/check.h"

#include <jansson.h>

#include <dirent.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* Every folder of tests/api/cases holds a body, request.json, or a query, request.query,
 * and what becomes of it, expected.json:
 *   status                 200, or the problem's
 *   request                the values that must come out (200 only)
 *   model                  the query's (200 only; absent: none)
 *   field, line, column    the problem's (absent: empty or 0)
 *   detail                 a part of the problem's detail
 *   limits                 what differs from default_limits */
#define CASES SLUICE_SOURCE_DIR "/tests/api/cases"

enum { RANDOM_SEED = 123456789, CASES_MIN = 230 };

static const struct request_limits default_limits = {
    .max_steps = 100,
    .max_pixels = 16384,
    .patch = 16,
    .defaults =
        {.steps = 20, .width = 128, .height = 128, .guidance = 3, .solver = SOLVER_EULER},
};

/* A case's limits may name the dynamic shift of the model. */
static const struct scheduler_config exponential = {.dynamic_shift = true,
                                                    .type = TIME_SHIFT_EXPONENTIAL},
                                     linear = {.dynamic_shift = true,
                                               .type = TIME_SHIFT_LINEAR};

static char *read_case(const char *name, const char *file, size_t *length)
{
    char path[1024], *data;
    struct err err;
    (void)snprintf(path, sizeof(path), "%s/%s/%s", CASES, name, file);
    CHECK_OK(text_read_file(&data, length, path, 1 << 20, &err), err);
    return data;
}

static struct request_limits read_limits(json_t *object)
{
    struct request_limits limits = default_limits;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (strcmp(key, "max_steps") == 0)
            limits.max_steps = (unsigned)json_integer_value(value);
        else if (strcmp(key, "max_pixels") == 0)
            limits.max_pixels = (size_t)json_integer_value(value);
        else if (strcmp(key, "patch") == 0)
            limits.patch = (size_t)json_integer_value(value);
        else if (strcmp(key, "dynamic_shift") == 0)
            limits.scheduler =
                strcmp(json_string_value(value), "linear") == 0 ? &linear : &exponential;
        else if (strcmp(key, "allows_previews") == 0)
            limits.allows_previews = json_is_true(value);
        else {
            CHECK(strcmp(key, "is_distilled") == 0);
            limits.is_distilled = json_is_true(value);
        }
    }
    if (limits.is_distilled)
        limits.defaults.guidance = 1;
    if (limits.defaults.steps > limits.max_steps)
        limits.defaults.steps = limits.max_steps;
    return limits;
}

static json_t *to_json(const struct request *request)
{
    const struct sampling *sampling = &request->sampling;
    json_t *object = json_object();
    (void)json_object_set_new(object, "prompt",
                              json_stringn(request->prompt, request->prompt_bytes));
    (void)json_object_set_new(
        object, "negative_prompt",
        json_stringn(request->negative_prompt, request->negative_prompt_bytes));
    (void)json_object_set_new(object, "seed", json_integer(sampling->seed));
    (void)json_object_set_new(object, "seed_was_given",
                              json_boolean(request->seed_was_given));
    (void)json_object_set_new(object, "steps", json_integer(sampling->steps));
    (void)json_object_set_new(object, "width", json_integer((json_int_t)sampling->width));
    (void)json_object_set_new(object, "height",
                              json_integer((json_int_t)sampling->height));
    (void)json_object_set_new(object, "guidance", json_real(sampling->guidance));
    (void)json_object_set_new(object, "solver",
                              json_string(solver_name(sampling->solver)));
    (void)json_object_set_new(object, "n", json_integer(request->n));
    (void)json_object_set_new(object, "deadline_ms",
                              json_integer(request->deadline_milliseconds));
    (void)json_object_set_new(object, "min_steps", json_integer(request->min_steps));
    (void)json_object_set_new(object, "preview_every",
                              json_integer(request->preview_every));
    CHECK(json_object_size(object) == 13);
    return object;
}

static bool matches(const struct request *request, json_t *expected)
{
    json_t *found = to_json(request), *value;
    bool is_same = json_object_size(expected) > 0;
    const char *key;
    json_object_foreach(expected, key, value)
    {
        const json_t *other = json_object_get(found, key);
        if (json_is_number(value) && json_is_number(other))
            is_same = is_same && json_number_value(value) == json_number_value(other);
        else
            is_same = is_same && other != NULL && json_equal(value, other);
    }
    is_same = is_same && strlen(request->prompt) == request->prompt_bytes;
    json_decref(found);
    return is_same;
}

/* The answer that a client gets is one JSON object that says what the problem says. */
static void check_written(const struct problem *problem)
{
    struct buf out;
    buf_init(&out, 4096);
    problem_write(problem, "id", &out);
    CHECK(!out.failed);
    json_t *object = json_loadb(out.data, out.length, JSON_REJECT_DUPLICATES, NULL);
    CHECK(object != NULL);
    CHECK(json_integer_value(json_object_get(object, "status")) ==
          problem_status(problem->kind));
    json_decref(object);
    buf_finish(&out);
}

static bool problem_matches(const struct problem *problem, json_t *expected)
{
    const char *field = json_string_value(json_object_get(expected, "field"));
    const char *detail = json_string_value(json_object_get(expected, "detail"));
    check_written(problem);
    return strcmp(problem->field, field != NULL ? field : "") == 0 && detail != NULL &&
           strstr(problem->detail, detail) != NULL &&
           problem->line == json_integer_value(json_object_get(expected, "line")) &&
           problem->column == json_integer_value(json_object_get(expected, "column"));
}

/* The request of a case, from its body or from its query, which stands in a file without
 * a newline. */
static bool parse_case(const char *name,
                       const struct request_limits *limits,
                       char model[REQUEST_MODEL_SIZE],
                       struct request *request,
                       struct problem *problem)
{
    char path[1024];
    (void)snprintf(path, sizeof(path), "%s/%s/request.query", CASES, name);
    bool is_query = access(path, R_OK) == 0;
    size_t length;
    char *text = read_case(name, is_query ? "request.query" : "request.json", &length);
    bool is_good =
        is_query ? request_query_parse(request, model, text, length, limits, problem)
                 : request_parse(request, text, length, limits, RANDOM_SEED, problem);
    free(text);
    return is_good;
}

static bool run_case(const char *name)
{
    size_t expected_length;
    char *text = read_case(name, "expected.json", &expected_length);
    json_t *expected = json_loadb(text, expected_length, JSON_REJECT_DUPLICATES, NULL);
    CHECK(json_is_object(expected));
    struct request_limits limits = read_limits(json_object_get(expected, "limits"));

    struct request request = {.prompt_bytes = 77};
    struct problem problem = {.kind = PROBLEM_NONE};
    char model[REQUEST_MODEL_SIZE] = "";
    bool is_good = parse_case(name, &limits, model, &request, &problem);
    const char *expected_model = json_string_value(json_object_get(expected, "model"));
    bool is_right = strcmp(model, expected_model != NULL ? expected_model : "") == 0 &&
                    problem_status(problem.kind) ==
                        json_integer_value(json_object_get(expected, "status"));
    CHECK(is_good == (problem.kind == PROBLEM_NONE));
    if (is_good)
        is_right = is_right && matches(&request, json_object_get(expected, "request"));
    else
        is_right = is_right && problem_matches(&problem, expected) &&
                   request.prompt == NULL && request.prompt_bytes == 77;
    if (!is_right)
        (void)fprintf(stderr, "%s: %d, field \"%s\", %d:%d: %s\n", name,
                      problem_status(problem.kind), problem.field, problem.line,
                      problem.column, problem.detail);
    request_finish(&request);
    json_decref(expected);
    free(text);
    return is_right;
}

static void test_cases(void)
{
    DIR *folder = opendir(CASES);
    CHECK(folder != NULL);
    unsigned count = 0, wrong = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        wrong += !run_case(entry->d_name);
    }
    (void)closedir(folder);
    CHECK(wrong == 0);
    CHECK(count >= CASES_MIN);
}

static void test_too_large(void)
{
    static char body[REQUEST_MAX_BYTES + 1];
    memset(body, ' ', sizeof(body));
    memcpy(body, "{}", 2);
    struct request request = {0};
    struct problem problem;
    CHECK(request_parse(&request, body, REQUEST_MAX_BYTES, &default_limits, 1, &problem));
    request_finish(&request);
    CHECK(!request_parse(&request, body, sizeof(body), &default_limits, 1, &problem));
    CHECK(problem.kind == PROBLEM_TOO_LARGE);
    check_written(&problem);

    char model[REQUEST_MODEL_SIZE];
    memset(body, 'a', sizeof(body));
    memcpy(body, "seed=1&prompt=", 14);
    CHECK(!request_query_parse(&request, model, body, REQUEST_MAX_QUERY, &default_limits,
                               &problem));
    CHECK(problem.kind == PROBLEM_INVALID && strcmp(problem.field, "prompt") == 0);
    CHECK(!request_query_parse(&request, model, body, REQUEST_MAX_QUERY + 1,
                               &default_limits, &problem));
    CHECK(problem.kind == PROBLEM_MALFORMED);
}

/* A seed that nobody chose leaves room for the last image's. */
static void test_drawn_seed(void)
{
    static const char body[] = "{\"n\": 16}";
    struct request request = {0};
    struct problem problem;
    CHECK(request_parse(&request, body, sizeof(body) - 1, &default_limits, UINT32_MAX,
                        &problem));
    CHECK(request.sampling.seed == UINT32_MAX - 15 && !request.seed_was_given);
    request_draw_seed(&request, 5);
    CHECK(request.sampling.seed == 5);
    request.seed_was_given = true;
    request_draw_seed(&request, 6);
    CHECK(request.sampling.seed == 5);
    request_finish(&request);
}

/* Defaults that the operator's limits forbid are refused like a client's values. */
static void test_bad_defaults(void)
{
    struct request_limits limits = default_limits;
    limits.max_pixels = 64 * 64;
    struct request request = {0};
    struct problem problem;
    CHECK(!request_parse(&request, "{}", 2, &limits, 1, &problem));
    CHECK(problem.kind == PROBLEM_INVALID && strcmp(problem.field, "width") == 0);
}

static void test_finish(void)
{
    struct request request = {0};
    request_finish(NULL);
    request_finish(&request);
    request_finish(&request);
}

/* What only the command line can ask for. */
static void test_check(void)
{
    static char prompt[] = "a", empty[] = "", bad[] = "\xff", nul[] = "a\0b";
    struct request good = {.n = 1,
                           .prompt = prompt,
                           .prompt_bytes = 1,
                           .negative_prompt = empty,
                           .sampling = default_limits.defaults};
    struct problem problem = {.kind = PROBLEM_NONE};
    CHECK(request_check(&good, &default_limits, &problem));
    CHECK(problem.kind == PROBLEM_NONE);

    struct request request = good;
    request.sampling.guidance = (double)NAN;
    CHECK(!request_check(&request, &default_limits, &problem));
    CHECK(problem.kind == PROBLEM_INVALID && strcmp(problem.field, "guidance") == 0);
    request.sampling.guidance = HUGE_VAL;
    CHECK(!request_check(&request, &default_limits, &problem));
    request = good;
    request.sampling.steps = 0;
    CHECK(!request_check(&request, &default_limits, &problem));
    CHECK(strcmp(problem.field, "steps") == 0);
    request = good;
    request.sampling.width = request.sampling.height = SIZE_MAX;
    CHECK(!request_check(&request, &default_limits, &problem));
    CHECK(strcmp(problem.field, "width") == 0);
    request = good;
    request.prompt = bad;
    CHECK(!request_check(&request, &default_limits, &problem));
    CHECK(strcmp(problem.field, "prompt") == 0);
    request.prompt = nul;
    request.prompt_bytes = 3;
    CHECK(!request_check(&request, &default_limits, &problem));
    CHECK(strcmp(problem.field, "prompt") == 0);
    request = good;
    request.negative_prompt = bad;
    request.negative_prompt_bytes = 1;
    CHECK(!request_check(&request, &default_limits, &problem));
    CHECK(strcmp(problem.field, "negative_prompt") == 0);
}

int main(void)
{
    test_cases();
    test_too_large();
    test_drawn_seed();
    test_bad_defaults();
    test_finish();
    test_check();
    return 0;
}
