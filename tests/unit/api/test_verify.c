#include "api/png_image.h"
#include "api/verify.h"
#include "tests/check.h"

#include <jansson.h>

#include <string.h>

enum { SIDE = 16 };

static uint8_t rgb[SIDE * SIDE * 3], other[SIDE * SIDE * 3], tall[SIDE * SIDE * 3 * 2];

static struct buf encode(const uint8_t *pixels, size_t height, const char *text)
{
    struct buf out;
    struct err err;
    buf_init(&out, 1 << 20);
    CHECK_OK(png_image_encode(&out, pixels, SIDE, height, text, &err), err);
    return out;
}

static enum verify_result compare(struct buf fresh_file)
{
    struct buf given_file = encode(rgb, SIDE, "a");
    struct verify_file given = {given_file.data, given_file.length};
    struct verify_file fresh = {fresh_file.data, fresh_file.length};
    struct png_contents contents;
    struct err err;
    enum verify_result result;
    CHECK_OK(png_read(&contents, given.png, given.length, SIDE * SIDE, &err), err);
    CHECK_OK(verify_compare(&result, &given, &contents, &fresh, &err), err);
    png_read_finish(&contents);
    buf_finish(&given_file);
    buf_finish(&fresh_file);
    return result;
}

static void test_compare(void)
{
    memset(other, 0, sizeof(other));
    other[sizeof(other) - 1] = 1;
    CHECK(compare(encode(rgb, SIDE, "a")) == VERIFY_IDENTICAL);
    CHECK(compare(encode(rgb, SIDE, "b")) == VERIFY_SAME_PIXELS);
    CHECK(compare(encode(rgb, SIDE, NULL)) == VERIFY_SAME_PIXELS);
    CHECK(compare(encode(other, SIDE, "a")) == VERIFY_DIFFERENT);
    CHECK(compare(encode(tall, SIDE / 2, "a")) == VERIFY_DIFFERENT);
    CHECK(compare(encode(tall, 2 * SIDE, "a")) == VERIFY_DIFFERENT);
}

static void check_written(enum verify_result result, bool identical, bool pixels)
{
    static char prompt[] = "a cat", empty[] = "";
    struct parameters parameters = {
        .request = {.prompt = prompt,
                    .prompt_bytes = 5,
                    .negative_prompt = empty,
                    .sampling = {.seed = 7,
                                 .steps = 4,
                                 .width = 64,
                                 .height = 32,
                                 .guidance = 3,
                                 .solver = SOLVER_HEUN}},
        .model_hash = "0123456789",
        .version = "sluice 0.0.9",
    };
    struct buf out;
    buf_init(&out, 4096);
    verify_write(result, &parameters, "id-1", "sluice 0.1.0", &out);
    CHECK(!out.failed);
    json_t *found = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    json_t *expected = json_loads(
        "{\"id\": \"id-1\", \"parameters\": {\"prompt\": \"a cat\", \"negative_prompt\":"
        " \"\", \"seed\": 7, \"steps\": 4, \"width\": 64, \"height\": 32, \"guidance\": "
        "3.0,"
        " \"solver\": \"heun\"}, \"made_by\": {\"model_hash\": \"0123456789\","
        " \"version\": \"sluice 0.0.9\"}, \"verified_by\": {\"model_hash\":"
        " \"0123456789\", \"version\": \"sluice 0.1.0\"}}",
        0, NULL);
    (void)json_object_set_new(expected, "identical", json_boolean(identical));
    (void)json_object_set_new(expected, "pixels_identical", json_boolean(pixels));
    CHECK(found != NULL && json_equal(found, expected));
    json_decref(found);
    json_decref(expected);
    buf_finish(&out);
}

int main(void)
{
    test_compare();
    check_written(VERIFY_IDENTICAL, true, true);
    check_written(VERIFY_SAME_PIXELS, false, true);
    check_written(VERIFY_DIFFERENT, false, false);
    return 0;
}
