#include "api/problem.h"
#include "tests/check.h"

#include <jansson.h>

#include <string.h>

static json_t *written(const struct problem *problem, const char *request_id)
{
    struct buf out;
    buf_init(&out, 4096);
    problem_write(problem, request_id, &out);
    CHECK(!out.failed && out.data[out.length - 1] == '\n');
    CHECK(memchr(out.data, '\n', out.length - 1) == NULL);
    json_t *object = json_loadb(out.data, out.length, JSON_REJECT_DUPLICATES, NULL);
    CHECK(object != NULL);
    buf_finish(&out);
    return object;
}

static void test_every_kind(void)
{
    static const struct {
        enum problem_kind kind;
        int status;
        const char *type;
    } rows[] = {
        {PROBLEM_MALFORMED, 400, "malformed-request"},
        {PROBLEM_NOT_FOUND, 404, "not-found"},
        {PROBLEM_METHOD, 405, "method-not-allowed"},
        {PROBLEM_NOT_ACCEPTABLE, 406, "not-acceptable"},
        {PROBLEM_TOO_LARGE, 413, "body-too-large"},
        {PROBLEM_MEDIA_TYPE, 415, "unsupported-media-type"},
        {PROBLEM_INVALID, 422, "invalid-request"},
        {PROBLEM_OVERLOADED, 429, "overloaded"},
        {PROBLEM_INTERNAL, 500, "internal"},
        {PROBLEM_UNAVAILABLE, 503, "unavailable"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK(problem_status(rows[i].kind) == rows[i].status);
        CHECK(strcmp(problem_type(rows[i].kind), rows[i].type) == 0);
    }
}

static void test_every_member(void)
{
    struct problem problem;
    CHECK(!problem_set(&problem, PROBLEM_INVALID, "steps", "found %d", 0));
    CHECK(problem.kind == PROBLEM_INVALID && problem.line == 0 && problem.allow == NULL);
    problem.line = 3;
    problem.column = 14;
    problem.retry_after = 6.0011;
    problem.wait = 30.5;
    problem.fastest = 0.25;
    struct buf out;
    buf_init(&out, 4096);
    problem_write(&problem, "abc-1", &out);
    CHECK(strcmp(out.data,
                 "{\"type\":\"/problems/invalid-request\","
                 "\"title\":\"The request asks for what cannot be done\",\"status\":422,"
                 "\"detail\":\"found 0\",\"instance\":\"abc-1\",\"field\":\"steps\","
                 "\"line\":3,\"column\":14,\"retry_after\":7,\"retry_after_ms\":6002,"
                 "\"predicted_wait_ms\":30500,\"fastest_ms\":250}\n") == 0);
    CHECK(problem_retry_seconds(&problem) == 7);
    CHECK(problem_retry_milliseconds(&problem) == 6002);
    problem.retry_after = 0.0;
    CHECK(problem_retry_seconds(&problem) == 0);
    problem.retry_after = 1e300;
    CHECK(problem_retry_seconds(&problem) == 86400);
    buf_finish(&out);
}

static void test_absent_members(void)
{
    struct problem problem;
    (void)problem_set(&problem, PROBLEM_OVERLOADED, NULL, "%s", "");
    const char *const ids[] = {NULL, ""};
    for (size_t i = 0; i < 2; i++) {
        json_t *object = written(&problem, ids[i]);
        CHECK(json_object_size(object) == 3); /* type, title, status */
        json_decref(object);
    }
}

/* Nothing that a client sends breaks the JSON or is cut inside of a character. */
static void test_hostile_text(void)
{
    static const char *const texts[] = {
        "\"},{\"status\":200",
        "\\",
        "\x1b[31m\r\n\t\x01\x7f",
        "\xff\xfe",
        "\xc3",
        "\xf0\x9f\x98",
        "\xed\xa0\x80",
        "a\xc0\x80z",
        "\xe2\x80\xa8</script>",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct problem problem;
        (void)problem_set(&problem, PROBLEM_INVALID, texts[i], "found %s", texts[i]);
        json_t *object = written(&problem, "id");
        CHECK(json_object_size(object) == 6);
        CHECK(json_integer_value(json_object_get(object, "status")) == 422);
        CHECK(strcmp(json_string_value(json_object_get(object, "field")),
                     problem.field) == 0);
        json_decref(object);
    }
    struct problem problem;
    (void)problem_set(&problem, PROBLEM_INVALID, NULL, "a\xc0\x80z\xc3\xa9\xff");
    CHECK(strcmp(problem.detail, "a??z\xc3\xa9?") == 0);
}

static void test_long_text(void)
{
    char text[1000];
    for (size_t i = 0; i + 1 < sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    for (size_t start = 0; start < 3; start++) {
        char shifted[1000];
        memset(shifted, 'a', start);
        memcpy(shifted + start, text, 900);
        shifted[start + 900] = '\0';
        struct problem problem;
        (void)problem_set(&problem, PROBLEM_INVALID, shifted, "%s", shifted);
        CHECK(strlen(problem.detail) == sizeof(problem.detail) - 1);
        CHECK(strlen(problem.field) == sizeof(problem.field) - 1);
        json_decref(written(&problem, NULL));
    }
}

static void test_arguments_inside(void)
{
    struct problem problem;
    (void)problem_set(&problem, PROBLEM_INVALID, "steps", "found 0");
    (void)problem_set(&problem, PROBLEM_INTERNAL, problem.field, "again: %s",
                      problem.detail);
    CHECK(strcmp(problem.detail, "again: found 0") == 0);
    CHECK(strcmp(problem.field, "steps") == 0);
}

static void test_no_room(void)
{
    struct problem problem;
    (void)problem_set(&problem, PROBLEM_INTERNAL, NULL, "no room");
    struct buf out;
    buf_init(&out, 20);
    problem_write(&problem, NULL, &out);
    CHECK(out.failed);
    buf_finish(&out);
}

int main(void)
{
    test_every_kind();
    test_every_member();
    test_absent_members();
    test_hostile_text();
    test_long_text();
    test_arguments_inside();
    test_no_room();
    return 0;
}
