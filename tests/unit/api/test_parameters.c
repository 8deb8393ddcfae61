#include "api/answer.h"
#include "api/parameters.h"
#include "tests/check.h"

#include <string.h>

static const struct request_limits limits = {
    .max_steps = 100,
    .max_pixels = 16384,
    .patch = 16,
    .defaults = {.steps = 20, .width = 128, .height = 128, .guidance = 3},
};

enum { ROOM = 9000 };

/* Written and read back, a request is the same. */
static void check_round_trip(const char *prompt, const char *negative, double guidance)
{
    char first[ROOM], second[ROOM];
    (void)snprintf(first, sizeof(first), "%s", prompt);
    (void)snprintf(second, sizeof(second), "%s", negative);
    struct request request = {
        .prompt = first,
        .prompt_bytes = strlen(first),
        .negative_prompt = second,
        .negative_prompt_bytes = strlen(second),
        .sampling = {.seed = 4294967295U,
                     .steps = 7,
                     .width = 96,
                     .height = 64,
                     .guidance = guidance,
                     .solver = SOLVER_DPMPP_2M},
        .n = 1,
    };
    struct buf text;
    buf_init(&text, 2L * ROOM);
    answer_parameters_text(&request, "a, b: \"c\", Seed: 5\n", "0123456789abcdef",
                           "0.1.0", &text);
    CHECK(!text.failed);

    struct parameters out;
    struct problem problem;
    bool is_good = parameters_read(&out, text.data, &limits, &problem);
    if (!is_good)
        (void)fprintf(stderr, "%s\n%s\n", text.data, problem.detail);
    CHECK(is_good);
    const struct sampling *a = &request.sampling, *b = &out.request.sampling;
    CHECK(strcmp(out.request.prompt, prompt) == 0);
    CHECK(out.request.prompt_bytes == request.prompt_bytes);
    CHECK(strcmp(out.request.negative_prompt, negative) == 0);
    CHECK(out.request.negative_prompt_bytes == request.negative_prompt_bytes);
    CHECK(a->seed == b->seed && a->steps == b->steps && a->width == b->width);
    CHECK(a->height == b->height && a->guidance == b->guidance);
    CHECK(a->solver == b->solver && out.request.n == 1);
    CHECK(strcmp(out.model_hash, "0123456789") == 0);
    CHECK(strcmp(out.version, "sluice 0.1.0") == 0);
    CHECK(parameters_check_model(&out, "0123456789abcdef", &problem));
    CHECK(!parameters_check_model(&out, "1123456789abcdef", &problem));
    CHECK(problem.kind == PROBLEM_INVALID && strcmp(problem.field, "Model hash") == 0);
    parameters_finish(&out);
    buf_finish(&text);
}

static void test_round_trips(void)
{
    static char longest[4 * 2000 + 1];
    for (size_t i = 0; i < 2000; i++)
        memcpy(longest + 4 * i, "\xf0\x9f\x98\x80", 4);
    check_round_trip("a cat", "a dog", 3);
    check_round_trip("", "", 1);
    check_round_trip("", "a dog", 2.3456789012345);
    check_round_trip("a\ncat\n", "a\ndog\n", 1.1);
    check_round_trip("\n", "", 20);
    check_round_trip("Steps: 5, Seed: 9", "Steps: 3\nSeed: 4", 3);
    check_round_trip("a Negative prompt: b", "Negative prompt: c", 3);
    check_round_trip("a\nNegative prompt: b", "", 1);
    check_round_trip("Negative prompt: b", "", 1);
    check_round_trip(longest, longest, 3);
}

#define REST ", CFG scale: 3, Seed: 7, Size: 64x64, Model hash: 0123456789"

static const struct {
    const char *text, *field, *detail;
} bad[] = {
    {"", "parameters", "expected Steps, found none"},
    {"a cat", "parameters", "pairs in the last line"},
    {"Steps: 5, Sampler: Euler" REST "\n", "parameters", "expected Steps, found none"},
    {"Sampler: Euler" REST, "parameters", "expected Steps"},
    {"Steps: 5" REST, "parameters", "expected Sampler"},
    {"Steps: 5, Sampler: Euler, CFG scale: 3, Seed: 7, Size: 64x64, Version: x",
     "parameters", "expected Model hash"},
    {"Steps: 0, Sampler: Euler" REST, "Steps",
     "Steps: expected an integer from 1 to 100"},
    {"Steps: 5a, Sampler: Euler" REST, "Steps", "found 5a"},
    {"Steps: , Sampler: Euler" REST, "Steps", "found nothing"},
    {"Steps: 5, Sampler: Euler a" REST, "Sampler", "found Euler a"},
    {"Steps: 5, Sampler: Euler" REST ", Size: 64", "Size", "<width>x<height>"},
    {"Steps: 5, Sampler: Euler" REST ", Size: 64x", "Size", "found nothing"},
    {"Steps: 5, Sampler: Euler" REST ", Size: 65x64", "Size", "a multiple of 16"},
    {"Steps: 5, Sampler: Euler" REST ", Size: 64x64x64", "Size", "found 64x64"},
    {"Steps: 5, Sampler: Euler" REST ", Size: 1024x1024", "width", "pixels in all"},
    {"Steps: 5, Sampler: Euler" REST ", Seed: -1", "Seed", "found -1"},
    {"Steps: 5, Sampler: Euler" REST ", CFG scale: 21", "CFG scale", "found 21"},
    {"Steps: 5, Sampler: Euler" REST ", Model hash: 0123", "Model hash", "10 hex digits"},
    {"Steps: 5, Sampler: Euler" REST ", Model: \"a\"b", "parameters", "pairs"},
    {"Steps: 5, Sampler: Euler" REST ", Model", "parameters", "pairs"},
};

static void test_refusals(void)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct parameters out = {.version = "untouched"};
        struct problem problem = {.kind = PROBLEM_NONE};
        CHECK(!parameters_read(&out, bad[i].text, &limits, &problem));
        bool is_right = problem.kind == PROBLEM_INVALID &&
                        strcmp(problem.field, bad[i].field) == 0 &&
                        strstr(problem.detail, bad[i].detail) != NULL;
        if (!is_right)
            (void)fprintf(stderr, "%s: %s: %s\n", bad[i].text, problem.field,
                          problem.detail);
        CHECK(is_right && strcmp(out.version, "untouched") == 0);
    }
}

/* Other programs' further pairs are skipped, however they are quoted or long. */
static void test_others(void)
{
    static char text[2000];
    (void)snprintf(text, sizeof(text),
                   "a cat\nSteps: 5, Sampler: Euler" REST
                   ", Lora hashes: \"a: b, Seed: \\\"9\\\"\", X: %0500d, Y: \"open",
                   0);
    struct parameters out;
    struct problem problem;
    CHECK(parameters_read(&out, text, &limits, &problem));
    CHECK(out.request.sampling.seed == 7 && strcmp(out.request.prompt, "a cat") == 0);
    CHECK(out.version[0] == '\0');
    parameters_finish(&out);
    parameters_finish(NULL);
}

int main(void)
{
    test_round_trips();
    test_refusals();
    test_others();
    return 0;
}
