#include "api/request_json.h"
#include "api/sdapi.h"
#include "api/sdapi_answer.h"
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

/* What becomes of a body: the values, or the field of a refusal and a part of its words.
 */
static const struct {
    const char *body;
    struct request request;
    const char *field, *detail;
} cases[] = {
#define GOOD(body, ...)                                                                  \
    {                                                                                    \
        body, {__VA_ARGS__}, NULL, NULL                                                  \
    }
#define BAD(body, field, detail)                                                         \
    {                                                                                    \
        body, {0}, field, detail                                                         \
    }
    GOOD("{}", .n = 1),
    /* What Open WebUI sends. */
    GOOD("{\"prompt\": \"a\", \"batch_size\": 2, \"width\": 64, \"height\": 96,"
         " \"steps\": 8, \"negative_prompt\": \"b\", \"cfg_scale\": 7.0,"
         " \"sampler_name\": \"DPM++ 2M\", \"scheduler\": \"Automatic\"}",
         .n = 2,
         .sampling.width = 64,
         .sampling.height = 96,
         .sampling.steps = 8,
         .sampling.guidance = 7,
         .sampling.solver = SOLVER_DPMPP_2M),
    /* Others. */
    GOOD("{\"prompt\": \"a\", \"seed\": -1, \"subseed\": -1, \"n_iter\": 3, \"eta\": 0,"
         " \"override_settings\": {}, \"alwayson_scripts\": {}, \"styles\": []}",
         .n = 3),
    GOOD("{\"seed\": 5, \"sampler_index\": \"Heun\", \"n_iter\": 4, \"batch_size\": 4}",
         .n = 16,
         .sampling.seed = 5,
         .sampling.solver = SOLVER_HEUN),
    GOOD("{\"sampler_name\": \"euler\", \"sampler_index\": \"Heun\"}", .n = 1),
    GOOD("{\"sampler_name\": null, \"sampler_index\": null, \"seed\": null,"
         " \"steps\": null, \"width\": null}",
         .n = 1),
    GOOD("{\"sampler_name\": \"\", \"seed\": -1.0}", .n = 1),
    BAD("{", "", "'}'"),
    BAD("[]", "", "expected a JSON object"),
    BAD("{\"seed\": -2}", "seed", "from 0 to 4294967295, found -2"),
    BAD("{\"steps\": 150}", "steps", "found 150"),
    BAD("{\"cfg_scale\": 30}", "cfg_scale", "cfg_scale: expected a number from 1 to 20"),
    BAD("{\"cfg_scale\": \"7\"}", "cfg_scale", "found a string"),
    BAD("{\"width\": 100}", "width", "a multiple of 16"),
    BAD("{\"width\": 512, \"height\": 512}", "width", "pixels in all"),
    BAD("{\"batch_size\": 0}", "batch_size", "an integer from 1 to 16"),
    BAD("{\"n_iter\": 17}", "n_iter", "an integer from 1 to 16"),
    BAD("{\"batch_size\": 4, \"n_iter\": 5}", "n_iter", "at most 16 images in all"),
    BAD("{\"sampler_name\": \"Euler a\"}", "sampler_name", "found Euler a"),
    BAD("{\"sampler_index\": 3}", "sampler_index", "found a number"),
    BAD("{\"prompt\": 3}", "prompt", "expected a string"),
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
           found->n == (expected->n > 0 ? expected->n : 1);
}

static void test_cases(void)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request request = {0};
        struct problem problem = {.kind = PROBLEM_NONE};
        bool is_right =
            sdapi_parse(&request, cases[i].body, strlen(cases[i].body), &limits,
                        RANDOM_SEED, &problem)
                ? cases[i].field == NULL && is_same(&request, &cases[i].request)
                : cases[i].field != NULL && strcmp(problem.field, cases[i].field) == 0 &&
                      strstr(problem.detail, cases[i].detail) != NULL;
        if (!is_right)
            (void)fprintf(stderr, "%s: %s: %s\n", cases[i].body, problem.field,
                          problem.detail);
        wrong += !is_right;
        request_finish(&request);
    }
    CHECK(wrong == 0);

    static char large[REQUEST_MAX_BYTES + 1];
    struct request request;
    struct problem problem;
    CHECK(!sdapi_parse(&request, large, sizeof(large), &limits, 1, &problem));
    CHECK(problem.kind == PROBLEM_TOO_LARGE);
}

static void check_json(struct buf *out, const char *expected)
{
    CHECK(!out->failed);
    json_t *found = json_loads(out->data, JSON_REJECT_DUPLICATES, NULL);
    json_t *wanted = json_loads(expected, JSON_REJECT_DUPLICATES, NULL);
    CHECK(wanted != NULL);
    if (found == NULL || !json_equal(found, wanted))
        (void)fprintf(stderr, "%s\n", out->data);
    CHECK(json_equal(found, wanted));
    json_decref(found);
    json_decref(wanted);
    buf_finish(out);
}

static void test_errors(void)
{
    struct buf out;
    struct problem problem;
    buf_init(&out, 4096);
    (void)problem_set(&problem, PROBLEM_INVALID, "steps", "why");
    sdapi_error_write(&problem, &out);
    check_json(&out, "{\"detail\": [{\"loc\": [\"body\", \"steps\"], \"msg\": \"why\","
                     " \"type\": \"value_error\"}]}");
    (void)problem_set(&problem, PROBLEM_OVERLOADED, NULL, "why");
    sdapi_error_write(&problem, &out);
    check_json(&out, "{\"error\": \"HTTPException\", \"detail\": \"why\", \"body\": \"\","
                     " \"errors\": \"\"}");
}

static char prompt[] = "a \"cat\"", empty[] = "";
static const struct request drawn = {
    .prompt = prompt,
    .prompt_bytes = sizeof(prompt) - 1,
    .negative_prompt = empty,
    .sampling = {.seed = 7, .steps = 4, .width = 128, .height = 64, .guidance = 3},
    .n = 2,
};
static const struct answer_facts facts = {.steps = 4};
static const struct answer_image images[] = {{"foobar", 6, 0}, {"f", 1, 1}};
static const struct answer answer = {.model_name = "house",
                                     .model_digest = "0123456789abcdef",
                                     .request = &drawn,
                                     .facts = &facts,
                                     .images = images,
                                     .image_count = 2};

#define PARAMETERS                                                                       \
    "\"prompt\": \"a \\\"cat\\\"\", \"negative_prompt\": \"\", \"seed\": 7,"             \
    " \"steps\": 4, \"cfg_scale\": 3.0, \"width\": 128, \"height\": 64,"                 \
    " \"sampler_name\": \"Euler\", \"batch_size\": 2, \"n_iter\": 1"
#define TEXT(seed)                                                                       \
    "\"a \\\"cat\\\"\\nSteps: 4, Sampler: Euler, CFG scale: 3, Seed: " seed              \
    ", Size: 128x64, Model hash: 0123456789, Model: house, Version: sluice 1\""

static void test_answer(void)
{
    struct buf out, info;
    buf_init(&out, 8192);
    buf_init(&info, 8192);
    sdapi_answer_write(&answer, "1", &out);
    CHECK(!out.failed);
    json_t *root = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(root, "info"));
    CHECK(text != NULL);
    (void)buf_print(&info, "%s", text);
    check_json(&info, "{" PARAMETERS ", \"sd_model_name\": \"house\","
                      " \"sd_model_hash\": \"0123456789\", \"all_seeds\": [7, 8],"
                      " \"all_prompts\": [\"a \\\"cat\\\"\", \"a \\\"cat\\\"\"],"
                      " \"infotexts\": [" TEXT("7") ", " TEXT("8") "]}");
    CHECK(json_object_del(root, "info") == 0);
    char *rest = json_dumps(root, 0);
    (void)buf_print(&info, "%s", rest);
    check_json(&info, "{\"images\": [\"Zm9vYmFy\", \"Zg==\"],"
                      " \"parameters\": {" PARAMETERS "}}");
    free(rest);
    json_decref(root);
    size_t whole = out.length;
    buf_finish(&out);
    for (size_t limit = 0; limit < whole; limit++) {
        buf_init(&out, limit);
        sdapi_answer_write(&answer, "1", &out);
        CHECK(out.failed);
        buf_finish(&out);
    }
}

/* The most that a request may ask for, each character as long in JSON as can be, fits. */
static void test_longest_answer(void)
{
    static char controls[REQUEST_MAX_CHARACTERS + 1], name[256];
    memset(controls, 1, sizeof(controls) - 1);
    memset(name, '\\', sizeof(name) - 1);
    name[0] = ','; /* which has it quoted in the text */
    struct request request = drawn;
    struct answer_image files[REQUEST_MAX_IMAGES];
    for (unsigned i = 0; i < REQUEST_MAX_IMAGES; i++)
        files[i] = (struct answer_image){"f", 1, i};
    request.prompt = request.negative_prompt = controls;
    request.prompt_bytes = request.negative_prompt_bytes = REQUEST_MAX_CHARACTERS;
    request.n = REQUEST_MAX_IMAGES;
    struct answer longest = answer;
    longest.request = &request;
    longest.model_name = name;
    longest.images = files;
    longest.image_count = REQUEST_MAX_IMAGES;
    struct buf out;
    buf_init(&out, (size_t)1 << 24);
    sdapi_answer_write(&longest, "1", &out);
    CHECK(!out.failed);
    json_t *root = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    json_t *info = json_loads(json_string_value(json_object_get(root, "info")),
                              JSON_REJECT_DUPLICATES, NULL);
    CHECK(json_array_size(json_object_get(info, "infotexts")) == REQUEST_MAX_IMAGES);
    json_decref(info);
    json_decref(root);
    buf_finish(&out);
}

static void test_lists(void)
{
    struct buf out;
    buf_init(&out, 4096);
    sdapi_options_write("house", answer.model_digest, &out);
    check_json(&out, "{\"sd_model_checkpoint\": \"house [0123456789]\","
                     " \"sd_checkpoint_hash\": \"0123456789abcdef\","
                     " \"samples_format\": \"png\", \"enable_pnginfo\": true}");
    sdapi_models_write("house", answer.model_digest, &out);
    check_json(&out, "[{\"title\": \"house [0123456789]\", \"model_name\": \"house\","
                     " \"hash\": \"0123456789\", \"sha256\": \"0123456789abcdef\","
                     " \"filename\": \"house\", \"config\": null}]");
    sdapi_samplers_write(&out);
    check_json(
        &out, "[{\"name\": \"Euler\", \"aliases\": [\"euler\"], \"options\": {}},"
              " {\"name\": \"Midpoint\", \"aliases\": [\"midpoint\"], \"options\": {}},"
              " {\"name\": \"Heun\", \"aliases\": [\"heun\"], \"options\": {}},"
              " {\"name\": \"AB2\", \"aliases\": [\"ab2\"], \"options\": {}},"
              " {\"name\": \"DPM++ 2M\", \"aliases\": [\"dpmpp_2m\"], \"options\": {}}]");
}

#define STATE(job, count, step, steps)                                                   \
    "\"state\": {\"skipped\": false, \"interrupted\": false,"                            \
    " \"stopping_generation\": false, \"job\": \"" job "\", \"job_count\": " count       \
    ", \"job_timestamp\": \"0\", \"job_no\": 0, \"sampling_step\": " step                \
    ", \"sampling_steps\": " steps "}, \"current_image\": null, \"textinfo\": null}"

static void test_progress(void)
{
    struct buf out;
    buf_init(&out, 4096);
    sdapi_progress_write(&(struct sdapi_progress){0}, &out);
    check_json(&out,
               "{\"progress\": 0.0, \"eta_relative\": 0.0, " STATE("", "0", "0", "0"));
    sdapi_progress_write(&(struct sdapi_progress){5, 20, 1500}, &out);
    check_json(&out, "{\"progress\": 0.25, \"eta_relative\": 1.5, " STATE("txt2img", "1",
                                                                          "5", "20"));
}

int main(void)
{
    test_cases();
    test_errors();
    test_answer();
    test_longest_answer();
    test_lists();
    test_progress();
    return 0;
}
