/* Every allocation of an engine, and of requests that it takes, fails once: it is said,
 * each request is answered, and the engine goes on. */
#include "server/engine.h"
#include "tests/check.h"
#include "tests/lib/fault.h"
#include "tests/lib/simulated_machine.h"

static struct metrics metrics;
static struct served_model *model;

static enum err_code create(struct engine **engine, struct err *err)
{
    const struct scheduler_setting setting = {.workers = 1,
                                              .max_batch = 8,
                                              .queue = 10,
                                              .job_memory = SIZE_MAX / 2,
                                              .max_wait = UINT64_C(30000000000),
                                              .context_cache = 1 << 20,
                                              .metrics = &metrics};
    return engine_create(engine, &setting, model, err);
}

static void fail_each_of_create(void)
{
    struct engine *engine;
    struct err err;
    long n = 0;
    for (bool happened = true; happened; n++) {
        err = (struct err){0};
        engine = NULL;
        fault_after(n);
        enum err_code code = create(&engine, &err);
        happened = fault_happened();
        fault_after(-1);
        CHECK(code == (happened ? ERR_NO_MEMORY : ERR_OK));
        CHECK(!happened || (err.message[0] != '\0' && engine == NULL));
        CHECK(atomic_load(&model->holds) == (happened ? 1 : 2));
    }
    CHECK(n > 6);
    CHECK(engine_wait_idle(engine, 0));
    engine_destroy(engine);
    CHECK(atomic_load(&model->holds) == 1);
}

static void note(struct job *job, void *context)
{
    (void)job;
    *(bool *)context = true;
}

/* The n-th allocation of the request's life fails. */
static bool fail_one(struct engine *engine, long n)
{
    struct request request = {.prompt = strdup("two apples"),
                              .negative_prompt = strdup(""),
                              .prompt_bytes = 10,
                              .sampling = {.steps = 2, .width = 48, .height = 80}};
    struct job *job = NULL;
    struct err err;
    bool is_done = false;
    CHECK(request.prompt != NULL && request.negative_prompt != NULL);
    request.sampling.guidance = n % 2 == 0 ? 1.0 : 3.0;
    request.prompt[0] = (char)('a' + n % 20); /* not in the cache */
    fault_after(n / 2);
    if (job_create(&job, &request, model, &err) == ERR_OK) {
        job->done = note;
        job->context = &is_done;
        CHECK_OK(engine_submit(engine, &job, 1, &err), err);
        while (!engine_wait_idle(engine, 1000))
            continue;
        CHECK(is_done && job_is_over(job));
    }
    bool happened = fault_happened();
    fault_after(-1);
    if (job == NULL) {
        CHECK(happened && err.code == ERR_NO_MEMORY);
        request_finish(&request);
    } else if (job->state != JOB_DONE) {
        CHECK(happened && job->state == JOB_FAILED);
        CHECK(job->problem.kind == PROBLEM_INTERNAL);
    } else {
        CHECK(job->png.length > 100);
    }
    job_destroy(job);
    return happened;
}

static void fail_each_of_requests(void)
{
    struct engine *engine;
    struct err err;
    long n = 0;
    CHECK_OK(create(&engine, &err), err);
    while (fail_one(engine, n) || fail_one(engine, n + 1))
        n++;
    (void)fprintf(stderr, "%ld allocations\n", n / 2);
    CHECK(n / 2 > 8);
    engine_destroy(engine);
    CHECK(atomic_load(&metrics.values[METRIC_RUNNING][0]) == 0);
}

int main(void)
{
    CHECK(setenv("UV_THREADPOOL_SIZE", "2", 1) == 0);
    bundle_init();
    model = simulated_model();
    fail_each_of_create();
    fail_each_of_requests();
    CHECK(atomic_load(&model->holds) == 1);
    served_model_release(model);
    return 0;
}
