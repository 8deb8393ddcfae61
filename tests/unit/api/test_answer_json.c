#include "api/answer_event.h"
#include "api/answer_json.h"
#include "tests/check.h"

#include <jansson.h>

#include <string.h>

static char prompt[] = "a cat", empty[] = "";

static const struct request request = {
    .prompt = prompt,
    .prompt_bytes = 5,
    .negative_prompt = empty,
    .sampling = {.seed = 4294967290U,
                 .steps = 8,
                 .width = 128,
                 .height = 96,
                 .guidance = 2.5,
                 .solver = SOLVER_HEUN},
    .n = 2,
};

static const struct answer_facts facts = {
    .steps = 6,
    .evaluations = 22,
    .prompt_tokens = 32,
    .prompt_tokens_total = 45,
    .prompt_tokens_limit = 32,
    .queue = 1500000,
    .encode = 2000400,
    .stepping = 80000000,
    .decode = 1,
};

static const struct answer_image images[] = {{"foobar", 6, 0}, {"f", 1, 5}};

static const struct answer answer = {
    .request_id = "id-1",
    .model_name = "house",
    .model_digest = "0123",
    .request = &request,
    .facts = &facts,
    .images = images,
    .image_count = 2,
};

static void check_json(const char *text, const char *expected)
{
    json_t *found = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *wanted = json_loads(expected, JSON_REJECT_DUPLICATES, NULL);
    CHECK(found != NULL && wanted != NULL);
    if (!json_equal(found, wanted))
        (void)fprintf(stderr, "%s\n", text);
    CHECK(json_equal(found, wanted));
    json_decref(found);
    json_decref(wanted);
}

#define HEAD                                                                             \
    "{\"id\": \"id-1\", \"model\": {\"name\": \"house\", \"digest\": \"0123\"},"         \
    " \"width\": 128, \"height\": 96, \"solver\": \"heun\", \"guidance\": 2.5,"          \
    " \"steps\": 6, \"evaluations\": 22,"                                                \
    " \"prompt_tokens\": {\"used\": 32, \"limit\": 32, \"total\": 45, \"is_cut\": "      \
    "true},"                                                                             \
    " \"timing_ms\":"                                                                    \
    " {\"queue\": 1.5, \"encode\": 2.0, \"steps\": 80.0, \"decode\": 0.0},"              \
    " \"images\": ["
#define FIRST                                                                            \
    "{\"index\": 0, \"seed\": 4294967290, \"media_type\": \"image/png\","                \
    " \"base64\": \"Zm9vYmFy\"}"
#define SECOND                                                                           \
    "{\"index\": 5, \"seed\": 4294967295, \"media_type\": \"image/png\","                \
    " \"base64\": \"Zg==\"}"

static void test_json(void)
{
    struct buf out;
    buf_init(&out, 4096);
    answer_json_write(&answer, &out);
    CHECK(!out.failed);
    check_json(out.data, HEAD FIRST "," SECOND "]}");
    buf_finish(&out);

    struct answer other = answer;
    other.model_name = "ho\xffuse\"";
    other.request_id = NULL;
    other.image_count = 0;
    answer_json_write(&other, &out);
    CHECK(!out.failed && strstr(out.data, "\"ho_use\\\"\"") != NULL);
    CHECK(strstr(out.data, "\"id\"") == NULL);
    buf_finish(&out);
}

/* The data of the one event in out, in place. */
static char *event_data(struct buf *out, const char *name)
{
    char head[64];
    int length = snprintf(head, sizeof(head), "event: %s\ndata: ", name);
    CHECK(!out->failed && strncmp(out->data, head, (size_t)length) == 0);
    CHECK(out->length > 2 && strcmp(out->data + out->length - 2, "\n\n") == 0);
    out->data[out->length - 2] = '\0';
    CHECK(strchr(out->data + length, '\n') == NULL);
    return out->data + length;
}

static void test_events(void)
{
    struct buf out;
    buf_init(&out, 4096);
    answer_event_queued(3, 120, &out);
    check_json(event_data(&out, "queued"), "{\"position\": 3, \"eta_ms\": 120}");
    buf_finish(&out);

    answer_event_step(1, 4, 20, &out);
    check_json(event_data(&out, "step"), "{\"index\": 1, \"step\": 4, \"steps\": 20}");
    buf_finish(&out);

    answer_event_preview(&images[0], 4, 20, &out);
    check_json(event_data(&out, "preview"),
               "{\"index\": 0, \"step\": 4, \"steps\": 20, \"media_type\": \"image/png\","
               " \"base64\": \"Zm9vYmFy\"}");
    buf_finish(&out);

    struct answer one = answer;
    one.images = &images[1];
    one.image_count = 1;
    answer_event_image(&one, &out);
    check_json(event_data(&out, "image"), HEAD SECOND "]}");
    buf_finish(&out);

    struct problem problem;
    (void)problem_set(&problem, PROBLEM_DEADLINE, NULL, "first\nsecond");
    answer_event_error(&problem, "id-1", &out);
    check_json(event_data(&out, "error"),
               "{\"type\": \"/problems/deadline-passed\","
               " \"title\": \"The deadline has passed\", \"status\": 504,"
               " \"detail\": \"first\\nsecond\", \"instance\": \"id-1\"}");
    buf_finish(&out);

    answer_event_heartbeat(&out);
    CHECK(strcmp(out.data, ":\n\n") == 0);
    buf_finish(&out);
}

/* Without room at any point the buf says so. */
static void test_no_room(void)
{
    struct buf out;
    buf_init(&out, 4096);
    answer_json_write(&answer, &out);
    size_t whole = out.length;
    buf_finish(&out);
    for (size_t limit = 0; limit < whole; limit++) {
        buf_init(&out, limit);
        answer_json_write(&answer, &out);
        CHECK(out.failed);
        buf_finish(&out);
    }
}

int main(void)
{
    test_json();
    test_events();
    test_no_room();
    return 0;
}
