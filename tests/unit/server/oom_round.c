/* Every allocation on a request's way from job to PNG fails once: the round says that
 * memory ran out, and what was made before is freed with the job (under a leak checker
 * nothing is lost). */
#include "server/round.h"
#include "tests/check.h"
#include "tests/lib/fault.h"

#include <string.h>

static const char MODEL[] = SLUICE_SOURCE_DIR "/tests/golden/two-taps/model";

struct work {
    struct bundle *bundle;
    struct round_setting setting;
    struct arena scratch;
};

static void open_work(struct work *work)
{
    const struct kernels *kernels;
    const struct bundle_load_limits limits = {
        .max_pixels = 48 * 80, .round_items = 2, .round_tokens = 30};
    struct err err;
    bundle_init();
    CHECK_OK(kernels_choose(&kernels, NULL, &err), err);
    CHECK_OK(bundle_open(&work->bundle, MODEL, kernels, &err), err);
    CHECK_OK(bundle_load(work->bundle, &err), err);
    CHECK_OK(arena_init(&work->scratch, bundle_scratch(work->bundle, &limits), &err),
             err);
    work->setting = (struct round_setting){work->bundle, "1.2.3", true, 0};
}

static enum err_code
execute(const struct work *work, enum batcher_work kind, struct job *job, struct err *err)
{
    static struct round round;
    struct arena scratch = work->scratch;
    round =
        (struct round){.work = kind, .setting = &work->setting, .n = 1, .jobs = {job}};
    round_execute(&round, &scratch);
    *err = round.err;
    CHECK(round.code == ERR_OK || round.code == round.err.code);
    return round.code;
}

/* Encode, step to the end, decode. */
static enum err_code finish(const struct work *work, struct job *job, struct err *err)
{
    enum err_code code = execute(work, BATCHER_ENCODE, job, err);
    while (code == ERR_OK &&
           trajectory_steps_done(job->trajectory) < job->request.sampling.steps)
        code = execute(work, BATCHER_STEP, job, err);
    return code == ERR_OK ? execute(work, BATCHER_DECODE, job, err) : code;
}

static enum err_code
run(const struct work *work, double guidance, struct buf *png, struct err *err)
{
    struct job *job = NULL;
    struct request request = {
        .prompt = strdup("two apples"),
        .negative_prompt = strdup("pears"),
        .prompt_bytes = 10,
        .negative_prompt_bytes = 5,
        .sampling =
            {.seed = 7, .steps = 2, .width = 48, .height = 80, .guidance = guidance},
    };
    CHECK(request.prompt != NULL && request.negative_prompt != NULL);
    enum err_code code = job_create(&job, &request, NULL, err);
    if (code == ERR_OK)
        code = finish(work, job, err);
    else
        request_finish(&request); /* it stayed the caller's */
    if (code == ERR_OK) {
        *png = job->png;
        buf_init(&job->png, 0);
    }
    for (size_t i = 0; job != NULL && i < JOB_CONTEXTS; i++)
        context_release(job->contexts[i]);
    job_destroy(job);
    return code;
}

static void expect_failures(const struct work *work, double guidance, long least)
{
    struct buf expected, png = {0};
    struct err err;
    long n = 0;
    CHECK_OK(run(work, guidance, &expected, &err), err);
    CHECK(expected.length > 100 && memcmp(expected.data, "\x89PNG", 4) == 0);
    for (bool happened = true; happened; n++) {
        err = (struct err){0};
        fault_after(n);
        const enum err_code code = run(work, guidance, &png, &err);
        happened = fault_happened();
        fault_after(-1);
        CHECK(code == (happened ? ERR_NO_MEMORY : ERR_OK));
        CHECK(!happened || err.message[0] != '\0');
    }
    (void)fprintf(stderr, "%ld allocations\n", n);
    CHECK(n > least);
    CHECK(png.length == expected.length);
    CHECK(memcmp(png.data, expected.data, png.length) == 0);
    buf_finish(&png);
    buf_finish(&expected);
}

int main(void)
{
    struct work work = {0};
    open_work(&work);
    expect_failures(&work, 1.0, 8);
    expect_failures(&work, 3.0, 10);
    arena_finish(&work.scratch);
    bundle_destroy(work.bundle);
    return 0;
}
