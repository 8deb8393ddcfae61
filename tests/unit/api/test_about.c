#include "api/about.h"
#include "tests/check.h"

#include <jansson.h>

#include <string.h>

static const struct request_limits limits = {
    .max_steps = 100,
    .max_pixels = 16384,
    .patch = 16,
    .defaults =
        {.steps = 20, .width = 128, .height = 64, .guidance = 3, .solver = SOLVER_EULER},
};

static const struct about about = {.model_name = "house",
                                   .model_digest = "0123",
                                   .version = "0.1.0",
                                   .kernels = "avx2",
                                   .limits = &limits,
                                   .prompt_tokens = 32,
                                   .curve = "{\"steps\": [1, 2]}"};

static json_t *load(struct buf *out)
{
    CHECK(!out->failed);
    json_t *root = json_loads(out->data, JSON_REJECT_DUPLICATES, NULL);
    CHECK(root != NULL);
    buf_finish(out);
    return root;
}

static void check_member(json_t *object, const char *name, const char *expected)
{
    json_t *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);
    CHECK(wanted != NULL);
    CHECK(json_equal(json_object_get(object, name), wanted));
    json_decref(wanted);
}

static void test_model(void)
{
    struct buf out;
    buf_init(&out, 8192);
    about_model_write(&about, &out);
    json_t *root = load(&out);
    CHECK(json_object_size(root) == 9);
    check_member(root, "name", "\"house\"");
    check_member(root, "digest", "\"0123\"");
    check_member(root, "version", "\"0.1.0\"");
    check_member(root, "kernels", "\"avx2\"");
    check_member(root, "is_distilled", "false");
    check_member(root, "curve", "{\"steps\": [1, 2]}");
    check_member(root, "defaults",
                 "{\"steps\": 20, \"width\": 128, \"height\": 64, \"guidance\": 3.0,"
                 " \"solver\": \"euler\"}");
    json_t *found = json_object_get(root, "limits");
    CHECK(json_object_size(found) == 10);
    check_member(found, "prompt_characters", "2000");
    check_member(found, "prompt_tokens", "32");
    check_member(found, "pixels", "16384");
    check_member(found, "seed",
                 "{\"minimum\": 0, \"maximum\": 4294967295, \"multiple_of\": 1}");
    check_member(found, "steps",
                 "{\"minimum\": 1, \"maximum\": 100, \"multiple_of\": 1}");
    check_member(found, "width",
                 "{\"minimum\": 16, \"maximum\": 1024, \"multiple_of\": 16}");
    check_member(found, "guidance", "{\"minimum\": 1.0, \"maximum\": 20.0}");
    check_member(found, "n", "{\"minimum\": 1, \"maximum\": 16, \"multiple_of\": 1}");
    found = json_object_get(root, "solvers");
    CHECK(json_array_size(found) == SOLVER_COUNT);
    json_t *heun = json_array_get(found, SOLVER_HEUN);
    check_member(heun, "name", "\"heun\"");
    check_member(heun, "sampler", "\"Heun\"");
    check_member(heun, "evaluations", "78"); /* 2 * 20 - 1, and guidance doubles it */
    json_decref(root);
}

static void test_curve(void)
{
    static const char *const curves[] = {NULL, "", "{\"steps\":"};
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        struct about other = about;
        other.curve = curves[i];
        struct buf out;
        buf_init(&out, 8192);
        about_model_write(&other, &out);
        json_t *root = load(&out);
        check_member(root, "curve", "null");
        json_decref(root);
    }
}

static void test_estimate(void)
{
    struct about_estimate estimate = {.would_be_admitted = true,
                                      .steps = 8,
                                      .evaluations = 16,
                                      .queue = 1500000,
                                      .run = 80000000};
    struct buf out;
    buf_init(&out, 8192);
    about_estimate_write(&estimate, &out);
    json_t *root = load(&out), *expected;
    expected = json_loads("{\"admitted\": true, \"steps\": 8, \"evaluations\": 16,"
                          " \"queue_ms\": 1.5, \"run_ms\": 80.0, \"total_ms\": 81.5}",
                          0, NULL);
    CHECK(expected != NULL && json_equal(root, expected));
    json_decref(root);
    json_decref(expected);

    estimate.would_be_admitted = false;
    estimate.retry_after = 3;
    about_estimate_write(&estimate, &out);
    root = load(&out);
    check_member(root, "admitted", "false");
    check_member(root, "retry_after", "3");
    json_decref(root);

    estimate.retry_after = 0; /* later is no better */
    about_estimate_write(&estimate, &out);
    root = load(&out);
    check_member(root, "admitted", "false");
    CHECK(json_object_get(root, "retry_after") == NULL);
    json_decref(root);
}

int main(void)
{
    test_model();
    test_curve();
    test_estimate();
    return 0;
}
