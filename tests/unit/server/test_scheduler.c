/* The scheduler's rules, one by one, in simulated time. */
#include "server/verdict.h"
#include "tests/check.h"
#include "tests/lib/simulation.h"

#include <math.h>

static struct simulation simulation; /* large */
static struct served_model *model, *renewed;

static const struct scheduler_setting usual = {.workers = 2,
                                               .max_batch = 8,
                                               .queue = 200,
                                               .job_memory = SIZE_MAX / 2,
                                               .max_wait = 30 * SIMULATION_SECOND,
                                               .context_cache = 64 * 1024};

static void start(size_t workers, size_t max_batch, double factor)
{
    struct scheduler_setting setting = usual;
    setting.workers = workers;
    setting.max_batch = max_batch;
    simulated_calibrate(model, &simulated_quiet, factor);
    simulated_calibrate(renewed, &simulated_quiet, factor);
    simulation_start(&simulation, &setting, &simulated_quiet, model);
}

static void finish(void)
{
    simulation_run_out(&simulation);
    simulation_finish(&simulation);
    CHECK(atomic_load(&model->holds) == 1 && atomic_load(&renewed->holds) == 1);
}

static uint64_t after(double seconds)
{
    return simulation.now + (uint64_t)(seconds * 1e9);
}

static void test_one_job(void)
{
    start(1, 8, 1.0);
    (void)simulation_send(&simulation, &(struct simulation_request){.steps = 10});
    CHECK(simulation_gauge(&simulation, METRIC_RUNNING) == 0.0);
    finish();
    CHECK(simulation.ledger.done == 1 && simulation.ledger.evaluations == 10);
    /* 0.03 + 10 * (0.01 + 32 * 6e-4) + 16 * 6e-3, as nobody can help. */
    CHECK(fabs(simulation.ledger.lives - 0.418) < 0.01);
}

/* Steps of many requests share rounds. */
static void test_batches(void)
{
    start(1, 8, 1.0);
    for (int i = 0; i < 8; i++)
        (void)simulation_send(&simulation, &(struct simulation_request){.steps = 20});
    finish();
    CHECK(simulation.most_in_a_round == 8);
    CHECK(simulation.ledger.done == 8);
}

/* With one place the order alone decides. First come, first served would let all short
 * ones wait for the long ones that came before. */
static void test_short_ones_first(void)
{
    enum { JOBS = 20 };
    double fifo = 0.0, sum = 0.0;
    start(1, 1, 1.0);
    for (size_t i = 0; i < JOBS; i++) {
        unsigned steps = i < 4 ? 40 : 2;
        (void)simulation_send(&simulation, &(struct simulation_request){.steps = steps});
        sum += (i == 0 ? 0.03 : 0.0) + steps * (0.01 + 32 * 6e-4) + 0.096;
        fifo += sum;
    }
    finish();
    CHECK(simulation.ledger.done == JOBS);
    (void)fprintf(stderr, "mean time %.2f s, first come first served %.2f s\n",
                  simulation.ledger.lives / JOBS, fifo / JOBS);
    CHECK(simulation.ledger.lives < 0.6 * fifo);
    CHECK(simulation.ledger.longest_life < 1.05 * sum + 0.2);
}

/* A stream of short ones that fills the server does not keep a long one waiting for ever:
 * it is due at an instant that does not move. */
static void test_long_one_is_not_starved(void)
{
    start(1, 1, 1.0);
    struct simulation_request wish = {.steps = 50};
    (void)simulation_send(&simulation, &wish);
    wish.steps = 2;
    simulation_run(&simulation, after(0.2));
    uint64_t end = after(60.0);
    while (simulation.now < end) {
        (void)simulation_send(&simulation, &wish);
        simulation_run(&simulation, after(0.14));
    }
    finish();
    /* 30 s, and four times its 1.6 s; then its own work, and the round before. */
    CHECK(simulation.ledger.longest_life > 5.0);
    CHECK(simulation.ledger.longest_life < 30.0 + 5 * 1.6 + 1.0);
}

static unsigned last_steps;

static void note_steps(struct simulation *s, const struct job *job)
{
    (void)s;
    if (job->deadline != 0 && job->state == JOB_DONE)
        last_steps = job->facts.steps;
}

/* The steps that fit are chosen; the more there is to do before, the fewer. */
static void test_steps_are_lowered(void)
{
    unsigned before = 0;
    for (size_t others = 0; others < 4; others++) {
        start(1, 8, 1.0);
        simulation.watch = note_steps;
        for (size_t i = 0; i < others; i++)
            (void)simulation_send(
                &simulation, &(struct simulation_request){.steps = 6, .deadline = 1.8});
        (void)simulation_send(
            &simulation,
            &(struct simulation_request){.steps = 60, .min_steps = 2, .deadline = 1.9});
        finish();
        CHECK(simulation.ledger.done == others + 1 && simulation.ledger.missed == 0);
        CHECK(last_steps >= 2 && last_steps < 60);
        CHECK(others == 0 || last_steps < before);
        before = last_steps;
        CHECK(simulation_gauge(&simulation, METRIC_STEPS_LOWERED) == 1.0);
    }
}

/* The machine turns out to be slower than it was believed to be while a request waits:
 * its steps are chosen again before the first one. */
static void test_steps_are_corrected(void)
{
    start(1, 1, 0.5);
    simulation.watch = note_steps;
    (void)simulation_send(&simulation,
                          &(struct simulation_request){.steps = 40, .deadline = 3.5});
    struct job *job = simulation_send(
        &simulation,
        &(struct simulation_request){.steps = 80, .min_steps = 5, .deadline = 4.0});
    unsigned chosen = job->request.sampling.steps;
    finish();
    CHECK(simulation.ledger.done == 2 && simulation.ledger.missed == 0);
    (void)fprintf(stderr, "%u steps were promised, %u done\n", chosen, last_steps);
    CHECK(last_steps < chosen && last_steps >= 5);
}

static const struct job *last;
static enum problem_kind last_problem;
static double last_retry, last_fastest;

static void note_problem(struct simulation *s, const struct job *job)
{
    (void)s;
    last = job;
    last_problem = job->problem.kind;
    last_retry = job->problem.retry_after;
    last_fastest = job->problem.fastest;
}

static void test_refusals(void)
{
    struct scheduler_setting setting = usual;
    struct simulation_request wish = {.steps = 10, .deadline = 0.1};
    start(1, 2, 1.0);
    simulation.watch = note_problem;
    (void)simulation_send(&simulation, &wish); /* not even an idle server could */
    CHECK(last_problem == PROBLEM_INVALID && last_retry == 0.0 && last_fastest > 0.3);
    wish.deadline = 0.0;
    for (int i = 0; i < 5; i++)
        (void)simulation_send(&simulation, &wish);
    wish.deadline = 0.6; /* an idle server could */
    for (int i = 0; i < 3; i++)
        (void)simulation_send(&simulation, &wish);
    CHECK(last_problem == PROBLEM_OVERLOADED && last_retry > 0.0);
    simulation.watch = NULL;
    finish();
    CHECK(atomic_load(&simulation.metrics.values[METRIC_REFUSALS][REFUSAL_IMPOSSIBLE]) ==
          1000000);
    CHECK(atomic_load(&simulation.metrics.values[METRIC_REFUSALS][REFUSAL_DEADLINE]) > 0);

    /* By count, by memory, and by waiting time. */
    setting.queue = 3;
    simulation_start(&simulation, &setting, &simulated_quiet, model);
    wish.deadline = 0.0;
    for (int i = 0; i < 30; i++)
        (void)simulation_send(&simulation, &wish);
    CHECK(simulation.ledger.refused == 30 - 16 - 3);
    finish();
    setting = usual;
    setting.job_memory = 1 << 20;
    simulation_start(&simulation, &setting, &simulated_quiet, model);
    for (int i = 0; i < 30; i++)
        (void)simulation_send(&simulation, &wish);
    CHECK(simulation.ledger.refused > 20 && simulation.ledger.refused < 30);
    finish();
    setting = usual;
    setting.max_wait = SIMULATION_SECOND;
    simulation_start(&simulation, &setting, &simulated_quiet, model);
    for (int i = 0; i < 30; i++)
        (void)simulation_send(&simulation, &wish);
    CHECK(simulation.ledger.refused > 15 && simulation.ledger.refused < 30);
    finish();
    CHECK(simulation.ledger.longest_queue < 2.0);
    CHECK(atomic_load(&simulation.metrics.values[METRIC_REFUSALS][REFUSAL_WAIT]) > 0);
}

/* Rounds are told to stop when nobody needs them, and only then. */
static void test_clients_leave(void)
{
    struct simulation_request wish = {.steps = 60, .leaves = 0.5};
    start(1, 8, 1.0);
    simulation.watch = note_problem;
    (void)simulation_send(&simulation, &wish);
    simulation_run_out(&simulation);
    CHECK(simulation.stopped == 1 && last_problem == PROBLEM_CLIENT_GONE);
    CHECK(simulation.now - 1000 * SIMULATION_SECOND < SIMULATION_SECOND * 55 / 100);
    double wasted = simulation_gauge(&simulation, METRIC_WASTED_EVALUATIONS);
    CHECK(wasted > 5 && wasted < 60);
    /* Beside another, whose work goes on, be it due earlier or later. */
    for (int i = 0; i < 4; i++) {
        wish.leaves = i % 3 == 0 ? 0.5 : 0.0;
        (void)simulation_send(&simulation, &wish);
        if (i % 2 == 1)
            simulation_run_out(&simulation);
    }
    finish();
    CHECK(simulation.stopped == 1 && simulation.ledger.done == 2);
    CHECK(simulation.ledger.canceled == 3);
    CHECK(simulation_gauge(&simulation, METRIC_CANCELED) == 3.0);
    wish.leaves = 0.0;

    /* While it waits; and before it was taken. */
    start(1, 1, 1.0);
    (void)simulation_send(&simulation, &wish);
    wish.leaves = 0.2;
    (void)simulation_send(&simulation, &wish);
    finish();
    CHECK(simulation.ledger.done == 1 && simulation.ledger.canceled == 1);
    CHECK(simulation.ledger.evaluations == 60 && simulation.stopped == 0);
}

static unsigned least_steps, all_most_steps;

static void note_range(struct simulation *s, const struct job *job)
{
    (void)s;
    if (job->state != JOB_DONE || job->first->images == 1)
        return;
    least_steps = job->facts.steps < least_steps ? job->facts.steps : least_steps;
    all_most_steps =
        job->facts.steps > all_most_steps ? job->facts.steps : all_most_steps;
}

/* Images of one request have one number of steps, with which all are in time; it is
 * refused as a whole when there is none, and then once. */
static void test_several_images(void)
{
    struct simulation_request wish = {
        .steps = 60, .min_steps = 1, .deadline = 5.0, .images = 8};
    for (size_t workers = 1; workers <= 2; workers++) {
        start(workers, 8, 1.0);
        simulation.watch = note_range;
        least_steps = 1000;
        all_most_steps = 0;
        (void)simulation_send(&simulation, &wish);
        finish();
        CHECK(simulation.ledger.done == 8 && simulation.ledger.missed == 0);
        CHECK(least_steps == all_most_steps);
        CHECK(least_steps > 5 * workers && least_steps < 60);
        CHECK(simulation_gauge(&simulation, METRIC_STEPS_LOWERED) == 8.0);
    }
    wish.min_steps = 50; /* of which one alone could have as many */
    start(1, 8, 1.0);
    simulation.watch = note_problem;
    (void)simulation_send(&simulation, &wish);
    CHECK(simulation.ledger.done == 0 && simulation.ledger.evaluations == 0);
    CHECK(simulation_gauge(&simulation, METRIC_REFUSALS) == 1.0);
    CHECK(simulation_gauge(&simulation, METRIC_CANCELED) == 0.0);
    CHECK(simulation.ledger.refused == 1 && simulation.ledger.canceled == 7);
    finish();
}

/* Their steps are chosen again, for all of them, when others were slower. */
static void test_several_images_are_corrected(void)
{
    start(1, 1, 0.5);
    simulation.watch = note_range;
    least_steps = 1000;
    all_most_steps = 0;
    (void)simulation_send(&simulation,
                          &(struct simulation_request){.steps = 40, .deadline = 3.5});
    struct job *job = simulation_send(
        &simulation, &(struct simulation_request){
                         .steps = 80, .min_steps = 2, .deadline = 5.0, .images = 2});
    unsigned promised = job->first->admission.steps;
    finish();
    CHECK(simulation.ledger.done == 3 && simulation.ledger.missed == 0);
    CHECK(least_steps == all_most_steps && least_steps < promised);
}

/* Who finds no place is told when one may be free. */
static void test_when_to_come_back(void)
{
    struct scheduler_setting setting = usual;
    setting.workers = setting.max_batch = 1;
    setting.queue = 0;
    simulated_calibrate(model, &simulated_quiet, 1.0);
    simulation_start(&simulation, &setting, &simulated_quiet, model);
    simulation.watch = note_problem;
    (void)simulation_send(&simulation, &(struct simulation_request){.steps = 60});
    (void)simulation_send(&simulation, &(struct simulation_request){.steps = 60});
    CHECK(last_problem == PROBLEM_OVERLOADED);
    /* 60 * (0.01 + 32 * 6e-4) s and more. */
    CHECK(last_retry > 1.7 && last_retry < 3.0);
    /* Who asks for more than there are places need not come back. */
    (void)simulation_send(&simulation,
                          &(struct simulation_request){.steps = 1, .images = 2});
    CHECK(atomic_load(&simulation.metrics.values[METRIC_REFUSALS][REFUSAL_SIZE]) > 0);
    simulation_run_out(&simulation);
    simulation_finish(&simulation);
}

/* A deadline that passes ends the work, also when no round ends at that moment. */
static void test_deadline_passes(void)
{
    start(1, 8, 0.1); /* ten times too hopeful */
    simulation.watch = note_problem;
    (void)simulation_send(&simulation,
                          &(struct simulation_request){.steps = 60, .deadline = 0.7});
    simulation_run_out(&simulation);
    CHECK(last_problem == PROBLEM_DEADLINE && simulation.ledger.missed == 1);
    CHECK(simulation.stopped == 1);
    CHECK(simulation.now - 1000 * SIMULATION_SECOND < SIMULATION_SECOND * 72 / 100);
    finish();
    CHECK(atomic_load(
              &simulation.metrics.values[METRIC_DEADLINES][METRIC_DEADLINE_MISSED]) ==
          1000000);
}

static void test_cancel_all(void)
{
    start(2, 2, 1.0);
    simulation.watch = note_problem;
    for (int i = 0; i < 12; i++)
        (void)simulation_send(&simulation, &(struct simulation_request){.steps = 30});
    simulation_run(&simulation, after(0.5));
    scheduler_cancel_all(&simulation.scheduler, simulation.now);
    simulation_see_stops(&simulation);
    CHECK(simulation.ledger.canceled >= 8 && simulation.stopped == 2);
    CHECK(last_problem == PROBLEM_UNAVAILABLE && last_retry == 1.0);
    (void)simulation_send(&simulation, &(struct simulation_request){.steps = 30});
    finish();
    CHECK(simulation.ledger.canceled == 13);
}

/* All of a failed round fail, and nobody else. */
static void test_failed_round(void)
{
    start(2, 4, 1.0);
    simulation.watch = note_problem;
    for (int i = 0; i < 6; i++)
        (void)simulation_send(&simulation, &(struct simulation_request){.steps = 30});
    simulation_run(&simulation, after(0.4));
    struct round *round = &simulation.workers[0].round;
    CHECK(simulation.workers[0].is_busy && round->work == BATCHER_STEP);
    size_t n = round->n;
    round->code = err_set(&round->err, ERR_NO_MEMORY, "no memory for this round");
    finish();
    CHECK(simulation.ledger.failed == n && simulation.ledger.done == 6 - n);
}

/* Requests of the old model finish with it, alone; new ones have the new one. */
static void test_model_swap(void)
{
    start(2, 8, 1.0);
    for (int i = 0; i < 6; i++)
        (void)simulation_send(&simulation, &(struct simulation_request){.steps = 30});
    simulation_run(&simulation, after(0.5));
    CHECK(simulation_gauge(&simulation, METRIC_CONTEXT_CACHE_BYTES) > 0.0);
    simulation.model = renewed;
    scheduler_use_model(&simulation.scheduler, renewed);
    scheduler_publish(&simulation.scheduler);
    CHECK(simulation_gauge(&simulation, METRIC_CONTEXT_CACHE_BYTES) == 0.0);
    simulation.most_in_a_round = 0;
    for (int i = 0; i < 6; i++)
        (void)simulation_send(&simulation, &(struct simulation_request){.steps = 30});
    CHECK(atomic_load(&model->holds) == 7 && atomic_load(&renewed->holds) == 7);
    finish();
    CHECK(simulation.ledger.done == 12 && simulation.most_in_a_round > 1);
    CHECK(simulation_gauge(&simulation, METRIC_CONTEXT_CACHE_BYTES) > 0.0);
}

int main(void)
{
    bundle_init();
    model = simulated_model();
    renewed = simulated_model();
    test_one_job();
    test_batches();
    test_short_ones_first();
    test_long_one_is_not_starved();
    test_steps_are_lowered();
    test_steps_are_corrected();
    test_refusals();
    test_clients_leave();
    test_several_images();
    test_several_images_are_corrected();
    test_when_to_come_back();
    test_deadline_passes();
    test_cancel_all();
    test_failed_round();
    test_model_swap();
    served_model_release(model);
    served_model_release(renewed);
    return 0;
}
