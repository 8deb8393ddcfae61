/* Links that the GET would refuse are refused before anything is computed. */
#include "api/openai.h"
#include "api/request_query.h"
#include "tests/check.h"

#include <string.h>

static const struct request_limits limits = {
    .max_steps = 100,
    .max_pixels = 16384,
    .patch = 16,
    .defaults = {.steps = 20, .width = 128, .height = 128, .guidance = 3},
};

static const struct openai_setting setting = {
    .limits = &limits, .model_name = "house", .model_digest = "0123", .has_links = true};

/* A prompt of so many characters of four bytes, and three images. */
static bool parse_long(struct openai_request *request,
                       size_t characters,
                       const char *more,
                       struct problem *problem)
{
    struct buf body;
    buf_init(&body, REQUEST_MAX_BYTES);
    (void)buf_print(&body, "{\"n\": 3, \"response_format\": \"url\"%s, \"prompt\": \"",
                    more);
    for (size_t i = 0; i < characters; i++)
        (void)buf_print(&body, "\xf0\x9f\x90\x88");
    (void)buf_print(&body, "\"}");
    bool is_good = openai_parse(request, body.data, body.length, &setting, 1, problem);
    buf_finish(&body);
    return is_good;
}

static void test_long_prompts(void)
{
    struct openai_request request;
    struct problem problem;
    size_t n = 600, length = 0;
    for (; parse_long(&request, n, "", &problem); n++) {
        struct buf query;
        buf_init(&query, REQUEST_MAX_QUERY);
        request_query_write(&request.request, 2, setting.model_digest, &query);
        CHECK(!query.failed);
        length = query.length;
        buf_finish(&query);
        openai_finish(&request);
    }
    CHECK(length + 3 * 4 > REQUEST_MAX_QUERY); /* of the longest that was taken */
    CHECK(problem.kind == PROBLEM_INVALID && openai_error_status(&problem) == 400);
    CHECK(strcmp(problem.field, "response_format") == 0);
    CHECK(strstr(problem.detail, "at most 8192 bytes") != NULL);
    /* A stream has no links. */
    CHECK(parse_long(&request, REQUEST_MAX_CHARACTERS, ", \"stream\": true", &problem));
    openai_finish(&request);
}

int main(void)
{
    test_long_prompts();
    return 0;
}
