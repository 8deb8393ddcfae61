/* What a job is said to cost, on a model whose rounds have known costs. */
#include "server/forecast.h"
#include "tests/check.h"
#include "tests/lib/simulated_machine.h"

#include <math.h>

/* Without a fixed share, so that batches do not matter. */
static const struct simulated_machine machine = {
    .encode = 0.03, .step_unit = 6e-4, .decode_unit = 6e-3};

static struct served_model *model;

static bool is_near(double value, double expected)
{
    return fabs(value - expected) <= 1e-6 * (1.0 + fabs(expected));
}

static struct job *create(struct sampling sampling, unsigned min_steps)
{
    struct request request = {.prompt = strdup("a cat"),
                              .negative_prompt = strdup(""),
                              .prompt_bytes = 5,
                              .min_steps = min_steps,
                              .sampling = sampling};
    struct job *job;
    struct err err;
    CHECK(request.prompt != NULL && request.negative_prompt != NULL);
    CHECK_OK(job_create(&job, &request, model, &err), err);
    return job;
}

static void destroy(struct job *job)
{
    for (size_t i = 0; i < JOB_CONTEXTS; i++)
        context_release(job->contexts[i]);
    job_destroy(job);
}

static const struct sampling plain = {
    .steps = 10, .width = 64, .height = 64, .guidance = 1.0};
static const struct sampling guided = {
    .steps = 10, .width = 64, .height = 128, .guidance = 4.0, .solver = SOLVER_HEUN};

/* 16 tokens of text, 16 of a picture of 64 x 64. */
static const double evaluation = 32 * 6e-4, decode = 16 * 6e-3;

static void test_left(void)
{
    struct job *job = create(plain, 0);
    CHECK(is_near(forecast_left(job, 1), 0.03 + 10 * evaluation + decode));
    CHECK(is_near(forecast_step(job, 1), evaluation));
    job_move(job, JOB_ENCODING);
    simulated_encode(job);
    CHECK(is_near(forecast_left(job, 1), 0.03 + 10 * evaluation + decode));
    job->contexts[0]->is_cached = true; /* somebody else's: no work is left of it */
    CHECK(is_near(forecast_left(job, 1), 10 * evaluation + decode));
    job->contexts[0]->is_cached = false;
    job_move(job, JOB_STEPPING);
    CHECK(is_near(forecast_left(job, 1), 10 * evaluation + decode));
    job->facts.evaluations = 7;
    CHECK(is_near(forecast_left(job, 1), 3 * evaluation + decode));
    job->facts.evaluations = 10;
    job_move(job, JOB_DECODING);
    CHECK(is_near(forecast_left(job, 1), decode));
    destroy(job);
}

/* Two contexts, 19 evaluations of two items, twice the picture. */
static void test_guided(void)
{
    struct job *job = create(guided, 0);
    const double item = 48 * 6e-4;
    CHECK(is_near(forecast_left(job, 1), 2 * 0.03 + 38 * item + 2 * decode));
    CHECK(is_near(forecast_step(job, 1), 2 * item));
    job->deadline = UINT64_C(3000000000);
    double time = 2.0 - 2 * decode - model->rounds.seconds;
    CHECK(is_near(forecast_pace(job, UINT64_C(1000000000)), 0.8 * time / 19));
    job->facts.evaluations = 36;
    CHECK(is_near(forecast_pace(job, UINT64_C(1000000000)), 0.8 * time));
    job->facts.evaluations = 38;
    CHECK(is_near(forecast_pace(job, UINT64_C(1000000000)), 0.8 * time));
    CHECK(forecast_pace(job, UINT64_C(4000000000)) > 0.0); /* as fast as can be */
    CHECK(forecast_pace(job, UINT64_C(4000000000)) < 0.001);
    job->deadline = 0;
    CHECK(forecast_pace(job, 1) == 0.0);
    destroy(job);
}

static void test_ask(void)
{
    struct job *job = create(plain, 4);
    job->submitted = 1000;
    struct admission_ask ask = forecast_ask(job, 1, 500);
    CHECK(ask.steps == 10 && ask.min_steps == 4 && ask.deadline == ADMISSION_NEVER);
    CHECK(is_near(ask.fixed, 0.03 + decode) && is_near(ask.each_step, evaluation));
    CHECK(is_near(ask.alone_fixed, ask.fixed));
    CHECK(is_near(ask.alone_each_step, ask.each_step));
    double due = 1500 + 4e9 * (ask.fixed + 10 * ask.each_step);
    CHECK(fabs((double)ask.due - due) < 10.0);
    /* Steps that were lowered before do not hide what was asked for. */
    job->request.sampling.steps = 4;
    job->deadline = 777;
    ask = forecast_ask(job, 1, 500);
    CHECK(ask.steps == 10 && ask.due == 777 && ask.deadline == 777);
    destroy(job);
    job = create(guided, 0);
    ask = forecast_ask(job, 1, 500);
    CHECK(ask.steps == 10 && ask.min_steps == 10);
    CHECK(is_near(ask.each_step, 3.8 * 48 * 6e-4));
    destroy(job);
}

static void test_memory(void)
{
    struct job *small = create(plain, 0), *large = create(guided, 0);
    CHECK(forecast_memory(small) > 64 * 64 * 3 + 100000);
    CHECK(forecast_memory(large) > forecast_memory(small) + 64 * 64 * 3);
    destroy(small);
    destroy(large);
}

/* A round of several jobs teaches what it took; contexts that were there are no work. */
static void test_learn(void)
{
    static struct round round;
    struct job *one = create(plain, 0), *two = create(guided, 0);
    round = (struct round){.work = BATCHER_STEP, .n = 2, .jobs = {one, two}};
    double predicted = forecast_step(one, 3) + forecast_step(two, 3);
    round.took = (uint64_t)(2e9 * predicted);
    for (int i = 0; i < 30; i++)
        forecast_learn(&round);
    double learnt = cost_model_item(&model->costs, BATCHER_STEP, false, 32, 3) +
                    2 * cost_model_item(&model->costs, BATCHER_STEP, false, 48, 3);
    CHECK(fabs(learnt - 2 * predicted) < 0.05 * predicted);

    double before = cost_model_item(&model->costs, BATCHER_ENCODE, false, 16, 1);
    simulated_encode(one);
    one->contexts[0]->is_cached = true;
    round = (struct round){.work = BATCHER_ENCODE, .n = 1, .jobs = {one}, .took = 1};
    forecast_learn(&round);
    CHECK(cost_model_item(&model->costs, BATCHER_ENCODE, false, 16, 1) == before);
    one->contexts[0]->is_cached = false;
    round.took = (uint64_t)(2e9 * before);
    forecast_learn(&round);
    CHECK(cost_model_item(&model->costs, BATCHER_ENCODE, false, 16, 1) > before);
    destroy(one);
    destroy(two);
}

/* Images of the model's defaults: 48 x 80, 3 steps, not guided. */
static void test_capacity(void)
{
    simulated_calibrate(model, &machine, 1.0);
    double image = 0.03 + 3 * 31 * 6e-4 + 15 * 6e-3;
    CHECK(is_near(forecast_capacity(model, 1, 1), 1.0 / image));
    CHECK(is_near(forecast_capacity(model, 3, 1), 3.0 / image));
    model->costs = (struct cost_model){0};
    CHECK(forecast_capacity(model, 3, 1) == 0.0);
}

int main(void)
{
    bundle_init();
    model = simulated_model();
    simulated_calibrate(model, &machine, 1.0);
    test_left();
    test_guided();
    test_ask();
    test_memory();
    test_learn();
    test_capacity();
    served_model_release(model);
    return 0;
}
