#include "api/cacheable.h"
#include "api/request_query.h"
#include "tests/check.h"

#include <stddef.h>
#include <string.h>

static char prompt[] = "a \xe2\x98\x83 & b", negative[] = "x=y", empty[] = "";

static const struct request request = {
    .prompt = prompt,
    .prompt_bytes = sizeof(prompt) - 1,
    .negative_prompt = negative,
    .negative_prompt_bytes = 3,
    .seed_was_given = true,
    .sampling = {.seed = 7,
                 .steps = 20,
                 .width = 128,
                 .height = 96,
                 .guidance = 2.3,
                 .solver = SOLVER_DPMPP_2M},
    .n = 1,
};

static const struct cacheable_build build = {
    .model_name = "house", .model_digest = "ab", .version = "1", .arithmetic = "ordered"};

static const struct request_limits limits = {
    .max_steps = 100,
    .max_pixels = 16384,
    .patch = 16,
    .defaults = {.steps = 20, .width = 128, .height = 128, .guidance = 3},
};

static void test_canonical(void)
{
    struct buf out;
    buf_init(&out, 4096);
    request_query_write(&request, 0, NULL, &out);
    CHECK(strcmp(out.data,
                 "prompt=a%20%E2%98%83%20%26%20b&negative_prompt=x%3Dy&seed=7"
                 "&steps=20&width=128&height=96&guidance=2.3&solver=dpmpp_2m") == 0);

    /* Read back it is the same request, and is written the same. */
    struct request again;
    struct problem problem;
    char model[REQUEST_MODEL_SIZE];
    CHECK(request_query_parse(&again, model, out.data, out.length, &limits, &problem));
    struct buf second;
    buf_init(&second, 4096);
    request_query_write(&again, 0, NULL, &second);
    CHECK(strcmp(out.data, second.data) == 0);
    request_finish(&again);
    buf_finish(&second);
    buf_finish(&out);

    request_query_write(&request, 3, "abc", &out);
    CHECK(strstr(out.data, "&seed=10&") != NULL);
    CHECK(strstr(out.data, "&model=abc") != NULL);
    buf_finish(&out);
}

static void check_tag_differs(const struct request *other_request,
                              const struct cacheable_build *other_build)
{
    char tag[CACHEABLE_TAG_SIZE], other[CACHEABLE_TAG_SIZE];
    struct problem problem;
    CHECK(cacheable_tag(tag, &request, &build, &problem));
    CHECK(cacheable_tag(other, other_request, other_build, &problem));
    CHECK(strcmp(tag, other) != 0);
}

/* Defaults that are spelled out are the same request; each other value is another one. */
static void test_tag(void)
{
    char tag[CACHEABLE_TAG_SIZE], again[CACHEABLE_TAG_SIZE];
    struct problem problem;
    CHECK(cacheable_tag(tag, &request, &build, &problem));
    CHECK(strlen(tag) == CACHEABLE_TAG_SIZE - 1);
    CHECK(tag[0] == '"' && tag[CACHEABLE_TAG_SIZE - 2] == '"');
    struct request same = request;
    same.preview_every = 3; /* decides about no byte of the image */
    CHECK(cacheable_tag(again, &same, &build, &problem) && strcmp(tag, again) == 0);

    struct request other = request;
    other.prompt = empty;
    other.prompt_bytes = 0;
    check_tag_differs(&other, &build);
    other = request;
    other.negative_prompt = empty;
    other.negative_prompt_bytes = 0;
    check_tag_differs(&other, &build);
    for (int i = 0; i < 6; i++) {
        other = request;
        other.sampling.seed += i == 0;
        other.sampling.steps += i == 1;
        other.sampling.width += i == 2 ? 16 : 0;
        other.sampling.height += i == 3 ? 16 : 0;
        other.sampling.guidance += i == 4 ? 1e-12 : 0;
        other.sampling.solver = i == 5 ? SOLVER_HEUN : request.sampling.solver;
        check_tag_differs(&other, &build);
    }
    struct cacheable_build builds[] = {build, build, build, build, build};
    builds[0].model_name = "home";
    builds[1].model_digest = "ac";
    builds[2].version = "2";
    builds[3].arithmetic = "openblas";
    builds[4].has_text = true;
    for (size_t i = 0; i < sizeof(builds) / sizeof(builds[0]); i++)
        check_tag_differs(&request, &builds[i]);
}

static const struct {
    const char *header;
    bool matches;
} conditions[] = {
    {NULL, false},
    {"", false},
    {"*", true},
    {" * ", true},
    {"*, \"a\"", false},
    {"\"tag\"", true},
    {"W/\"tag\"", true}, /* 304 compares weakly */
    {"w/\"tag\"", false},
    {"\"other\"", false},
    {"\"other\", \"tag\"", true},
    {"\"other\",\"tag\",\"third\"", true},
    {" ,, \"other\" ,\t W/\"tag\" ,", true},
    {"\"a,b\", \"tag\"", true},
    {"\"a\\\", \"tag\"", true}, /* a backslash escapes nothing */
    {"\"ta\"", false},
    {"\"tags\"", false},
    {"tag", false},
    {"\"tag", false},
    {"tag, \"tag\"", false},
    {"\"other\" \"tag\"", false},
    {"\"\"", false},
    {"W/", false},
};

static void test_conditions(void)
{
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
        CHECK(cacheable_matches(conditions[i].header, "\"tag\"") ==
              conditions[i].matches);
}

static void test_control(void)
{
    CHECK(strcmp(cacheable_control(false, false), "public, max-age=3600") == 0);
    CHECK(strcmp(cacheable_control(false, true), "private, max-age=3600") == 0);
    CHECK(strstr(cacheable_control(true, false), "public, max-age=31536000, immutable") !=
          NULL);
    CHECK(strstr(cacheable_control(true, true), "private") != NULL);
    struct problem problem;
    CHECK(cacheable_check_model("", "ab", &problem));
    CHECK(cacheable_check_model("ab", "ab", &problem));
    CHECK(!cacheable_check_model("ac", "ab", &problem));
    CHECK(problem.kind == PROBLEM_NOT_FOUND && strcmp(problem.field, "model") == 0);
}

int main(void)
{
    test_canonical();
    test_tag();
    test_conditions();
    test_control();
    return 0;
}
