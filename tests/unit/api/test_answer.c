#include "api/answer.h"
#include "tests/check.h"

#include <string.h>

static const char digest[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static char prompt[] = "a cat", empty[] = "", negative[] = "dogs, rain";

static struct request example(void)
{
    return (struct request){
        .prompt = prompt,
        .prompt_bytes = strlen(prompt),
        .negative_prompt = empty,
        .sampling = {.seed = 4294967295,
                     .steps = 20,
                     .width = 128,
                     .height = 96,
                     .guidance = 3,
                     .solver = SOLVER_EULER},
    };
}

static const char *
value_of(const struct answer_header *headers, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(headers[i].name, name) == 0)
            return headers[i].value;
    }
    return "";
}

static void test_headers(void)
{
    struct request request = example();
    struct answer_facts facts = {
        .steps = 16,
        .evaluations = 32,
        .prompt_tokens = 17,
        .prompt_tokens_total = 17,
        .prompt_tokens_limit = 32,
        .queue = 1250000,
        .encode = 0,
        .stepping = 1234567890123,
        .decode = 49999,
    };
    struct answer_header headers[ANSWER_HEADERS_MAX];
    size_t n = answer_headers(&facts, &request, "house", digest, headers);
    CHECK(n == 6);
    CHECK(strcmp(value_of(headers, n, "Sluice-Seed"), "4294967295") == 0);
    CHECK(strcmp(value_of(headers, n, "Sluice-Steps"), "16") == 0);
    CHECK(strcmp(value_of(headers, n, "Sluice-Evaluations"), "32") == 0);
    CHECK(strncmp(value_of(headers, n, "Sluice-Model"), "house; digest=0123", 18) == 0);
    CHECK(strlen(value_of(headers, n, "Sluice-Model")) == strlen("house; digest=") + 64);
    CHECK(strcmp(value_of(headers, n, "Sluice-Prompt-Tokens"), "17/32") == 0);
    CHECK(strcmp(value_of(headers, n, "Server-Timing"),
                 "queue;dur=1.2, encode;dur=0.0, steps;dur=1234567.9, decode;dur=0.0") ==
          0);

    facts.prompt_tokens = 32;
    facts.prompt_tokens_total = 45;
    n = answer_headers(&facts, &request, "house", digest, headers);
    CHECK(strcmp(value_of(headers, n, "Sluice-Prompt-Tokens"), "32/32; cut=45") == 0);
}

static void test_header_values_are_plain(void)
{
    struct request request = example();
    struct answer_facts facts = {
        .queue = UINT64_MAX,
        .encode = UINT64_MAX,
        .stepping = UINT64_MAX,
        .decode = UINT64_MAX,
    };
    char name[400];
    for (int i = 0; i < 399; i++)
        name[i] = (char)(1 + i % 255);
    name[399] = '\0';
    struct answer_header headers[ANSWER_HEADERS_MAX];
    size_t n = answer_headers(&facts, &request, name, digest, headers);
    for (size_t i = 0; i < n; i++) {
        for (const char *c = headers[i].value; *c != '\0'; c++)
            CHECK(*c >= ' ' && *c <= '~');
    }
    const char *model = value_of(headers, n, "Sluice-Model");
    CHECK(strchr(model, ';') == strrchr(model, ';'));
    CHECK(strcmp(model + strlen(model) - 64, digest) == 0);
    n = answer_headers(&facts, &request, "a\r\nSet-Cookie: b", digest, headers);
    CHECK(strncmp(value_of(headers, n, "Sluice-Model"), "a__Set-Cookie: b; ", 18) == 0);
    CHECK(strlen(value_of(headers, n, "Server-Timing")) < sizeof(headers[0].value) - 1);
}

static void
check_text(const struct request *request, const char *model_name, const char *expected)
{
    struct buf out;
    buf_init(&out, 64 * 1024);
    answer_parameters_text(request, model_name, digest, "0.1.0", &out);
    CHECK(!out.failed);
    if (strcmp(out.data, expected) != 0)
        (void)fprintf(stderr, "%s\n", out.data);
    CHECK(strcmp(out.data, expected) == 0);
    buf_finish(&out);
}

#define REST "Seed: 4294967295, Size: 128x96, Model hash: 0123456789, Model: "

static void test_parameters(void)
{
    struct request request = example();
    check_text(&request, "house",
               "a cat\nSteps: 20, Sampler: Euler, CFG scale: 3, " REST
               "house, Version: sluice 0.1.0");

    request.negative_prompt = negative;
    request.negative_prompt_bytes = strlen(negative);
    request.sampling.guidance = 2.5;
    request.sampling.solver = SOLVER_DPMPP_2M;
    check_text(&request, "house, big",
               "a cat\nNegative prompt: dogs, rain\n"
               "Steps: 20, Sampler: DPM++ 2M, CFG scale: 2.5, " REST
               "\"house, big\", Version: sluice 0.1.0");

    static const char *const quoted[] = {"a,b", "a:b", "a\nb"};
    for (size_t i = 0; i < sizeof(quoted) / sizeof(quoted[0]); i++) {
        struct buf out;
        buf_init(&out, 1024);
        answer_parameters_text(&request, quoted[i], digest, "0.1.0", &out);
        CHECK(strstr(out.data, "Model: \"a") != NULL);
        buf_finish(&out);
    }

    request.prompt = empty;
    request.prompt_bytes = 0;
    check_text(&request, "a:\"b\"\n\xc3\xa9",
               "Negative prompt: dogs, rain\n"
               "Steps: 20, Sampler: DPM++ 2M, CFG scale: 2.5, " REST
               "\"a:\\\"b\\\"\\n\xc3\xa9\", Version: sluice 0.1.0");

    request.negative_prompt_bytes = 0;
    check_text(&request, "h\xff\xc3",
               "Steps: 20, Sampler: DPM++ 2M, CFG scale: 2.5, " REST
               "h__, Version: sluice 0.1.0");
}

static void test_every_sampler_has_a_name(void)
{
    static const char *const names[] = {"Euler", "Midpoint", "Heun", "AB2", "DPM++ 2M"};
    static const enum solver_kind kinds[] = {SOLVER_EULER, SOLVER_MIDPOINT, SOLVER_HEUN,
                                             SOLVER_AB2, SOLVER_DPMPP_2M};
    for (size_t i = 0; i < SOLVER_COUNT; i++) {
        struct request request = example();
        request.sampling.solver = kinds[i];
        char expected[256];
        (void)snprintf(expected, sizeof(expected),
                       "a cat\nSteps: 20, Sampler: %s, CFG scale: 3, " REST
                       "m, Version: sluice 0.1.0",
                       names[i]);
        check_text(&request, "m", expected);
    }
}

static void test_no_room(void)
{
    struct request request = example();
    for (size_t limit = 0; limit < 150; limit++) {
        struct buf out;
        buf_init(&out, limit);
        answer_parameters_text(&request, "a,b", digest, "0.1.0", &out);
        CHECK(out.failed ==
              (limit < strlen("a cat\nSteps: 20, Sampler: Euler, CFG scale: 3, " REST
                              "\"a,b\", Version: sluice 0.1.0")));
        buf_finish(&out);
    }
}

int main(void)
{
    test_headers();
    test_header_values_are_plain();
    test_parameters();
    test_every_sampler_has_a_name();
    test_no_room();
    return 0;
}
