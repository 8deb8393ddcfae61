#include "api/openai.h"
#include "api/openai_answer.h"
#include "api/request_json.h"
#include "tests/check.h"

#include <jansson.h>

#include <string.h>

enum { RANDOM_SEED = 77 };

static const struct request_limits limits = {
    .max_steps = 100,
    .max_pixels = 16384,
    .patch = 16,
    .defaults =
        {.steps = 20, .width = 128, .height = 128, .guidance = 3, .solver = SOLVER_EULER},
};

static const struct openai_setting setting = {
    .limits = &limits, .model_name = "house", .model_digest = "0123"};

/* What becomes of a body: 200 and the values, or a status, the param and a part of the
 * message. */
static const struct {
    const char *body, *param, *message;
    struct request request;
    int status;
    bool is_stream;
} cases[] = {
#define GOOD(body, stream, ...)                                                          \
    {                                                                                    \
        body, NULL, NULL, {__VA_ARGS__}, 200, stream                                     \
    }
#define BAD(body, status, param, message)                                                \
    {                                                                                    \
        body, param, message, {0}, status, false                                         \
    }
    GOOD("{\"prompt\": \"a\"}", false, .n = 1),
    GOOD("{\"prompt\": \"a\", \"model\": \"house\"}", false, .n = 1),
    GOOD("{\"prompt\": \"a\", \"model\": \"0123\"}", false, .n = 1),
    GOOD("{\"prompt\": \"a\", \"model\": null, \"n\": null, \"seed\": null,"
         " \"response_format\": null, \"stream\": null, \"partial_images\": null}",
         false,
         .n = 1),
    GOOD("{\"prompt\": \"a\", \"n\": 3, \"size\": \"auto\"}", false, .n = 3),
    GOOD("{\"prompt\": \"a\", \"size\": \"64x96\", \"seed\": 5}",
         false,
         .sampling.width = 64,
         .sampling.height = 96,
         .sampling.seed = 5),
    GOOD("{\"prompt\": \"a\", \"num_inference_steps\": 4, \"guidance_scale\": 2.5,"
         " \"rng_seed\": 9, \"solver\": \"heun\"}",
         false,
         .sampling.steps = 4,
         .sampling.guidance = 2.5,
         .sampling.seed = 9,
         .sampling.solver = SOLVER_HEUN),
    GOOD("{\"prompt\": \"a\", \"steps\": 8, \"guidance\": 1, \"deadline_ms\": 50,"
         " \"min_steps\": 2}",
         false,
         .sampling.steps = 8,
         .sampling.guidance = 1,
         .deadline_milliseconds = 50,
         .min_steps = 2),
    GOOD("{\"prompt\": \"a\", \"quality\": \"hd\", \"style\": \"vivid\", \"user\": \"u\","
         " \"background\": \"auto\", \"moderation\": \"low\", \"output_compression\": 5,"
         " \"output_format\": \"png\", \"response_format\": \"b64_json\"}",
         false,
         .n = 1),
    GOOD("{\"prompt\": \"a\", \"stream\": true}", true, .n = 1),
    GOOD("{\"prompt\": \"a\", \"stream\": true, \"partial_images\": 0}", true, .n = 1),
    /* At steps 10; 7 and 14; 5, 10 and 15 of 20. */
    GOOD("{\"prompt\": \"a\", \"stream\": true, \"partial_images\": 1}",
         true,
         .preview_every = 10),
    GOOD("{\"prompt\": \"a\", \"stream\": true, \"partial_images\": 2}",
         true,
         .preview_every = 7),
    GOOD("{\"prompt\": \"a\", \"stream\": true, \"partial_images\": 3}",
         true,
         .preview_every = 5),
    GOOD("{\"prompt\": \"a\", \"stream\": true, \"partial_images\": 3, \"steps\": 1}",
         true,
         .preview_every = 1,
         .sampling.steps = 1),
    BAD("{}", 400, "prompt", "prompt: expected a string, found nothing"),
    BAD("{\"prompt\": null}", 400, "prompt", "found nothing"),
    BAD("{\"prompt\": 5}", 400, "prompt", "expected a string, found a number"),
    BAD("{\"prompt\": ", 400, "", "end of file"),
    BAD("[]", 400, "", "expected a JSON object, found an array"),
    BAD("{\"prompt\": \"a\", \"model\": \"dall-e-3\"}",
        404,
        "model",
        "the one that is loaded is \"house\", asked for is \"dall-e-3\""),
    BAD("{\"prompt\": \"a\", \"model\": 3}", 400, "model", "found a number"),
    BAD("{\"prompt\": \"a\", \"n\": 17}", 400, "n", "an integer from 1 to 16, found 17"),
    BAD("{\"prompt\": \"a\", \"size\": \"64\"}", 400, "size", "found 64"),
    BAD("{\"prompt\": \"a\", \"size\": \"64x\"}", 400, "size", "found 64x"),
    BAD("{\"prompt\": \"a\", \"size\": \"x64\"}", 400, "size", "found x64"),
    BAD("{\"prompt\": \"a\", \"size\": \"64x64x\"}", 400, "size", "\"auto\" or"),
    BAD("{\"prompt\": \"a\", \"size\": \"64X64\"}", 400, "size", "\"auto\" or"),
    BAD("{\"prompt\": \"a\", \"size\": \"\"}", 400, "size", "\"auto\" or"),
    BAD("{\"prompt\": \"a\", \"size\": 64}", 400, "size", "found a number"),
    BAD("{\"prompt\": \"a\", \"size\": \"60x64\"}", 400, "size", "a multiple of 16"),
    BAD("{\"prompt\": \"a\", \"size\": \"0x64\"}", 400, "size", "a multiple of 16"),
    BAD("{\"prompt\": \"a\", \"size\": \"9999999999x64\"}",
        400,
        "size",
        "multiple of 16"),
    BAD("{\"prompt\": \"a\", \"size\": \"99999999999999999999x64\"}",
        400,
        "size",
        "auto"),
    BAD("{\"prompt\": \"a\", \"size\": \"256x256\"}", 400, "size", "16384 pixels in all"),
    BAD("{\"prompt\": \"a\", \"response_format\": \"url\"}",
        400,
        "response_format",
        "no public URL"),
    BAD("{\"prompt\": \"a\", \"response_format\": \"png\"}",
        400,
        "response_format",
        "expected \"b64_json\" or \"url\", found png"),
    BAD("{\"prompt\": \"a\", \"output_format\": \"jpeg\"}",
        400,
        "output_format",
        "expected \"png\", found jpeg"),
    BAD("{\"prompt\": \"a\", \"stream\": \"yes\"}", 400, "stream", "found a string"),
    BAD("{\"prompt\": \"a\", \"partial_images\": 1}",
        400,
        "partial_images",
        "no effect without stream"),
    BAD("{\"prompt\": \"a\", \"stream\": true, \"partial_images\": 4}",
        400,
        "partial_images",
        "from 0 to 3"),
    BAD("{\"prompt\": \"a\", \"stream\": true, \"partial_images\": -1}",
        400,
        "partial_images",
        "from 0 to 3"),
    BAD("{\"prompt\": \"a\", \"stream\": true, \"partial_images\": 1.5}",
        400,
        "partial_images",
        "from 0 to 3"),
    BAD("{\"prompt\": \"a\", \"num_inference_steps\": 101}",
        400,
        "num_inference_steps",
        "num_inference_steps: expected an integer from 1 to 100, found 101"),
    BAD("{\"prompt\": \"a\", \"steps\": 4, \"num_inference_steps\": 4}",
        400,
        "",
        "is given under another name too"),
    BAD("{\"prompt\": \"a\", \"guidance_scale\": \"3\"}",
        400,
        "guidance_scale",
        "found a string"),
    BAD("{\"prompt\": \"a\", \"preview_every\": 1}",
        400,
        "preview_every",
        "there is no field"),
    BAD("{\"prompt\": \"a\", \"cfg\": 1}", 400, "cfg", "there is no field \"cfg\""),
    BAD("{\"prompt\": \"a\", \"cfg\": null}", 400, "cfg", "there is no field \"cfg\""),
};

/* 0 in what is expected stands for the default. */
static bool is_same(const struct request *found, const struct request *expected)
{
    struct sampling wanted = expected->sampling, defaults = limits.defaults;
    wanted.seed = wanted.seed > 0 ? wanted.seed : RANDOM_SEED;
    wanted.steps = wanted.steps > 0 ? wanted.steps : defaults.steps;
    wanted.width = wanted.width > 0 ? wanted.width : defaults.width;
    wanted.height = wanted.height > 0 ? wanted.height : defaults.height;
    wanted.guidance = wanted.guidance > 0 ? wanted.guidance : defaults.guidance;
    return found->sampling.seed == wanted.seed && found->sampling.steps == wanted.steps &&
           found->sampling.width == wanted.width &&
           found->sampling.height == wanted.height &&
           found->sampling.guidance == wanted.guidance &&
           found->sampling.solver == wanted.solver &&
           found->n == (expected->n > 0 ? expected->n : 1) &&
           strcmp(found->prompt, "a") == 0 &&
           found->deadline_milliseconds == expected->deadline_milliseconds &&
           found->min_steps == expected->min_steps &&
           found->preview_every == expected->preview_every;
}

/* The error object of a problem, new. */
static json_t *error_of(const struct problem *problem)
{
    struct buf out;
    buf_init(&out, 4096);
    openai_error_write(problem, &out);
    CHECK(!out.failed);
    json_t *root = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    json_t *error = json_incref(json_object_get(root, "error"));
    CHECK(json_object_size(root) == 1 && json_object_size(error) == 4);
    json_decref(root);
    buf_finish(&out);
    return error;
}

static bool refusal_is_right(const struct problem *problem, size_t i)
{
    json_t *error = error_of(problem);
    const char *param = json_string_value(json_object_get(error, "param"));
    const char *message = json_string_value(json_object_get(error, "message"));
    bool is_right = openai_error_status(problem) == cases[i].status && message != NULL &&
                    strstr(message, cases[i].message) != NULL &&
                    (*cases[i].param == '\0' ||
                     (param != NULL && strcmp(param, cases[i].param) == 0));
    json_decref(error);
    return is_right;
}

static void test_cases(void)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct openai_request request = {0};
        struct problem problem = {.kind = PROBLEM_NONE};
        bool is_right = openai_parse(&request, cases[i].body, strlen(cases[i].body),
                                     &setting, RANDOM_SEED, &problem)
                            ? cases[i].status == 200 && !request.wants_links &&
                                  is_same(&request.request, &cases[i].request) &&
                                  request.is_stream == cases[i].is_stream
                            : cases[i].status != 200 && refusal_is_right(&problem, i);
        if (!is_right)
            (void)fprintf(stderr, "%s: %s: %s\n", cases[i].body, problem.field,
                          problem.detail);
        wrong += !is_right;
        openai_finish(&request);
    }
    CHECK(wrong == 0);
}

static void test_links(void)
{
    static const char body[] = "{\"prompt\": \"a\", \"response_format\": \"url\"}";
    static char large[REQUEST_MAX_BYTES + 1];
    struct openai_setting with_links = setting;
    with_links.has_links = true;
    struct openai_request request;
    struct problem problem;
    CHECK(openai_parse(&request, body, sizeof(body) - 1, &with_links, 1, &problem));
    CHECK(request.wants_links);
    openai_finish(&request);
    openai_finish(NULL);
    CHECK(!openai_parse(&request, large, sizeof(large), &setting, 1, &problem));
    CHECK(problem.kind == PROBLEM_TOO_LARGE);
}

static void test_errors(void)
{
    static const struct {
        enum problem_kind kind;
        const char *field, *expected;
    } errors[] = {
        {PROBLEM_MALFORMED, NULL,
         "{\"message\": \"why\", \"type\": \"invalid_request_error\", \"param\": null,"
         " \"code\": \"malformed-request\"}"},
        {PROBLEM_INVALID, "steps",
         "{\"message\": \"why\", \"type\": \"invalid_request_error\","
         " \"param\": \"steps\", \"code\": \"invalid-request\"}"},
        {PROBLEM_NOT_FOUND, "model",
         "{\"message\": \"why\", \"type\": \"invalid_request_error\","
         " \"param\": \"model\", \"code\": \"model_not_found\"}"},
        {PROBLEM_OVERLOADED, NULL,
         "{\"message\": \"why\", \"type\": \"rate_limit_error\", \"param\": null,"
         " \"code\": \"overloaded\"}"},
        {PROBLEM_INTERNAL, NULL,
         "{\"message\": \"why\", \"type\": \"server_error\", \"param\": null,"
         " \"code\": \"internal\"}"},
    };
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct problem problem;
        (void)problem_set(&problem, errors[i].kind, errors[i].field, "why");
        json_t *error = error_of(&problem);
        json_t *expected = json_loads(errors[i].expected, 0, NULL);
        CHECK(expected != NULL && json_equal(error, expected));
        json_decref(error);
        json_decref(expected);
    }
}

static char prompt[] = "a \"cat\"", empty[] = "";
static const struct request drawn = {
    .prompt = prompt,
    .prompt_bytes = sizeof(prompt) - 1,
    .negative_prompt = empty,
    .sampling = {.seed = 7, .steps = 4, .width = 128, .height = 64, .guidance = 3},
    .n = 2,
};
static const struct answer_facts facts = {.steps = 4, .prompt_tokens = 17};
static const struct answer_image images[] = {{"foobar", 6, 0}, {"f", 1, 1}};
static const struct answer answer = {.model_name = "house",
                                     .model_digest = "0123",
                                     .request = &drawn,
                                     .facts = &facts,
                                     .images = images,
                                     .image_count = 2};
static const struct openai_answer openai = {
    .answer = &answer, .created = 1700000000, .patch = 16};

static void check_json(const char *text, const char *expected)
{
    json_t *found = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *wanted = json_loads(expected, JSON_REJECT_DUPLICATES, NULL);
    CHECK(wanted != NULL);
    if (found == NULL || !json_equal(found, wanted))
        (void)fprintf(stderr, "%s\n", text);
    CHECK(json_equal(found, wanted));
    json_decref(found);
    json_decref(wanted);
}

#define HEAD                                                                             \
    "{\"created\": 1700000000, \"output_format\": \"png\", \"size\": \"128x64\","        \
    " \"background\": \"opaque\", \"steps\": 4, \"usage\": {\"input_tokens\": 17,"       \
    " \"output_tokens\": 64, \"total_tokens\": 81,"                                      \
    " \"input_tokens_details\": {\"text_tokens\": 17, \"image_tokens\": 0}}, \"data\": "

static void test_answer(void)
{
    struct buf out;
    buf_init(&out, 4096);
    openai_answer_write(&openai, &out);
    CHECK(!out.failed);
    check_json(out.data, HEAD "[{\"seed\": 7, \"b64_json\": \"Zm9vYmFy\"},"
                              " {\"seed\": 8, \"b64_json\": \"Zg==\"}]}");
    buf_finish(&out);

    struct answer undrawn = answer; /* links need no images */
    undrawn.image_count = 0;
    struct openai_answer links = openai;
    links.answer = &undrawn;
    links.public_url = "https://x.example/a\"b";
    openai_answer_write(&links, &out);
    CHECK(!out.failed);
    check_json(out.data, HEAD
               "[{\"seed\": 7, \"url\": \"https://x.example/a\\\"b/v1/generate?prompt="
               "a%20%22cat%22&negative_prompt=&seed=7&steps=4&width=128&height=64"
               "&guidance=3&solver=euler&model=0123\"},"
               " {\"seed\": 8, \"url\": \"https://x.example/a\\\"b/v1/generate?prompt="
               "a%20%22cat%22&negative_prompt=&seed=8&steps=4&width=128&height=64"
               "&guidance=3&solver=euler&model=0123\"}]}");
    size_t whole = out.length;
    buf_finish(&out);
    links.public_url = "https://x.example//";
    openai_answer_write(&links, &out);
    CHECK(strstr(out.data, "\"url\":\"https://x.example/v1/generate?") != NULL);
    buf_finish(&out);
    links.public_url = "https://x.example/a\"b";
    for (size_t limit = 0; limit < whole; limit++) {
        buf_init(&out, limit);
        openai_answer_write(&links, &out);
        CHECK(out.failed);
        buf_finish(&out);
    }

    buf_init(&out, 4096);
    openai_models_write("house", "0123", 5, &out);
    check_json(out.data, "{\"object\": \"list\", \"data\": [{\"id\": \"house\","
                         " \"object\": \"model\", \"created\": 5,"
                         " \"owned_by\": \"sluice\", \"digest\": \"0123\"}]}");
    buf_finish(&out);
}

#define EVENT                                                                            \
    " \"created_at\": 1700000000, \"size\": \"128x64\", \"quality\": \"auto\","          \
    " \"background\": \"opaque\", \"output_format\": \"png\","

static void check_event(struct buf *out, const char *name, const char *expected)
{
    char head[96];
    int length = snprintf(head, sizeof(head), "event: %s\ndata: ", name);
    CHECK(!out->failed && strncmp(out->data, head, (size_t)length) == 0);
    CHECK(strcmp(out->data + out->length - 2, "\n\n") == 0);
    CHECK(strchr(out->data + length, '\n') == out->data + out->length - 2);
    check_json(out->data + length, expected);
    buf_finish(out);
}

static void test_events(void)
{
    struct buf out;
    buf_init(&out, 4096);
    openai_event_partial(&openai, &images[1], 2, &out);
    check_event(&out, "image_generation.partial_image",
                "{\"type\": \"image_generation.partial_image\"," EVENT
                " \"partial_image_index\": 2, \"seed\": 8, \"b64_json\": \"Zg==\"}");
    openai_event_completed(&openai, &out);
    check_event(&out, "image_generation.completed",
                "{\"type\": \"image_generation.completed\"," EVENT
                " \"steps\": 4, \"seed\": 7, \"usage\": {\"input_tokens\": 17,"
                " \"output_tokens\": 32, \"total_tokens\": 49, \"input_tokens_details\":"
                " {\"text_tokens\": 17, \"image_tokens\": 0}},"
                " \"b64_json\": \"Zm9vYmFy\"}");
    struct problem problem;
    (void)problem_set(&problem, PROBLEM_INTERNAL, NULL, "why");
    openai_event_error(&problem, &out);
    check_event(&out, "error",
                "{\"error\": {\"message\": \"why\", \"type\": \"server_error\","
                " \"param\": null, \"code\": \"internal\"}}");
}

int main(void)
{
    test_cases();
    test_links();
    test_errors();
    test_answer();
    test_events();
    return 0;
}
