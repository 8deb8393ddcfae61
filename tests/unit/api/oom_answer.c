/* Every allocation of writing an answer fails once, jansson's too: the buf says so, or
 * all is there. */
#include "api/about.h"
#include "api/cacheable.h"
#include "api/json_memory.h"
#include "api/openai_answer.h"
#include "api/png_image.h"
#include "api/png_read.h"
#include "api/sdapi_answer.h"
#include "api/verify.h"
#include "tests/check.h"
#include "tests/lib/fault.h"

#include <string.h>

static char prompt[] = "a cat", empty[] = "";
static const struct request request = {
    .prompt = prompt,
    .prompt_bytes = 5,
    .negative_prompt = empty,
    .sampling = {.seed = 7, .steps = 4, .width = 128, .height = 64, .guidance = 3},
    .n = 1,
};
static const struct answer_facts facts = {.steps = 4};
static uint8_t png[3000];
static const struct answer_image image = {png, sizeof(png), 0};
static const struct answer answer = {.request_id = "id",
                                     .model_name = "h\xffuse",
                                     .model_digest = "0123456789abcdef",
                                     .request = &request,
                                     .facts = &facts,
                                     .images = &image,
                                     .image_count = 1};

static void write_json(struct buf *out)
{
    answer_json_write(&answer, out);
}

static void write_openai(struct buf *out)
{
    struct openai_answer openai = {
        .answer = &answer, .patch = 16, .public_url = "http://x"};
    openai_answer_write(&openai, out);
}

static void write_sdapi(struct buf *out)
{
    sdapi_answer_write(&answer, "1", out);
}

static void write_options(struct buf *out)
{
    sdapi_options_write(answer.model_name, answer.model_digest, out);
}

static void write_at_last(void (*write)(struct buf *out))
{
    char *whole = NULL;
    for (long failures = -1;; failures++) {
        struct buf out;
        buf_init(&out, 1 << 20);
        fault_after(failures);
        write(&out);
        bool happened = fault_happened();
        fault_after(-1);
        CHECK(failures >= 0 || (!out.failed && out.length > 0));
        if (failures < 0) {
            whole = buf_take(&out, NULL);
            continue;
        }
        CHECK(out.failed == happened);
        CHECK(out.failed || strcmp(out.data, whole) == 0);
        buf_finish(&out);
        if (!happened) {
            CHECK(failures >= 2);
            free(whole);
            return;
        }
    }
}

static void tag_at_last(void)
{
    static const struct cacheable_build build = {.model_name = "house",
                                                 .model_digest = "0",
                                                 .version = "1",
                                                 .arithmetic = "ordered"};
    for (long failures = 0;; failures++) {
        char tag[CACHEABLE_TAG_SIZE] = "untouched";
        struct problem problem = {0};
        fault_after(failures);
        bool is_good = cacheable_tag(tag, &request, &build, &problem);
        fault_after(-1);
        if (is_good) {
            CHECK(failures >= 1 && tag[0] == '"');
            return;
        }
        CHECK(problem.kind == PROBLEM_INTERNAL && strcmp(tag, "untouched") == 0);
    }
}

static void read_at_last(void)
{
    static uint8_t rgb[16 * 16 * 3];
    struct buf file;
    buf_init(&file, 1 << 20);
    CHECK(png_image_encode(&file, rgb, 16, 16, "a", NULL) == ERR_OK);
    for (long failures = 0;; failures++) {
        struct png_contents contents = {.width = 77};
        struct err err = {0};
        fault_after(failures);
        enum err_code code = png_read(&contents, file.data, file.length, 256, &err);
        fault_after(-1);
        if (code == ERR_OK) {
            CHECK(failures >= 2 && contents.width == 16);
            png_read_finish(&contents);
            break;
        }
        CHECK(code == ERR_NO_MEMORY && err.code == code && contents.width == 77);
    }
    buf_finish(&file);
}

static void write_model(struct buf *out)
{
    static const struct request_limits limits = {
        .max_steps = 100,
        .max_pixels = 16384,
        .patch = 16,
        .defaults = {.steps = 20, .width = 128, .height = 128, .guidance = 3},
    };
    struct about about = {.model_name = "h\xffuse",
                          .model_digest = "0",
                          .version = "1",
                          .kernels = "avx2",
                          .limits = &limits,
                          .curve = "[1]"};
    about_model_write(&about, out);
}

static void write_estimate(struct buf *out)
{
    about_estimate_write(&(struct about_estimate){.retry_after = 3}, out);
}

static void write_verification(struct buf *out)
{
    struct parameters parameters = {.request = request, .model_hash = "0123456789"};
    verify_write(VERIFY_IDENTICAL, &parameters, "id", "1", out);
}

static void write_error(struct buf *out)
{
    struct problem problem;
    (void)problem_set(&problem, PROBLEM_INVALID, "steps", "why");
    openai_event_error(&problem, out);
}

static void write_partial(struct buf *out)
{
    struct openai_answer openai = {.answer = &answer, .patch = 16};
    openai_event_partial(&openai, &image, 0, out);
    openai_event_completed(&openai, out);
}

int main(void)
{
    json_memory_init();
    write_at_last(write_model);
    write_at_last(write_estimate);
    write_at_last(write_verification);
    write_at_last(write_error);
    write_at_last(write_partial);
    write_at_last(write_json);
    write_at_last(write_openai);
    write_at_last(write_sdapi);
    write_at_last(write_options);
    tag_at_last();
    read_at_last();
    return 0;
}
