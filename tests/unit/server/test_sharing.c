/* What requests share: an image of the same tag, the context of the same prompt; in
 * simulated time. */
#include "tests/check.h"
#include "tests/lib/simulation.h"

static struct simulation simulation; /* large */
static struct served_model *model;
static enum problem_kind last_problem;

static void note_problem(struct simulation *s, const struct job *job)
{
    (void)s;
    if (job->state != JOB_DONE)
        last_problem = job->problem.kind;
}

/* One worker, 8 places. */
static void start(size_t queue)
{
    const struct scheduler_setting setting = {.workers = 1,
                                              .max_batch = 8,
                                              .queue = queue,
                                              .job_memory = SIZE_MAX / 2,
                                              .max_wait = 30 * SIMULATION_SECOND,
                                              .context_cache = 64 * 1024};
    simulated_calibrate(model, &simulated_quiet, 1.0);
    simulation_start(&simulation, &setting, &simulated_quiet, model);
}

static void finish(void)
{
    simulation_run_out(&simulation);
    simulation_finish(&simulation);
    CHECK(atomic_load(&model->holds) == 1);
}

static uint64_t after(double seconds)
{
    return simulation.now + (uint64_t)(seconds * 1e9);
}

/* A newcomer whose image is being made follows who came first; not when the work was told
 * to stop since nobody waited for it. */
static void test_equal_images(void)
{
    struct simulation_request wish = {.steps = 60, .leaves = 0.5, .tag = "same"};
    start(200);
    (void)simulation_send(&simulation, &wish);
    wish.leaves = 0.0;
    simulation_run(&simulation, after(0.3));
    (void)simulation_send(&simulation, &wish);
    simulation_run_out(&simulation);
    CHECK(simulation.ledger.done == 1 && simulation.ledger.shared == 1);
    CHECK(simulation.ledger.evaluations == 60 && simulation.stopped == 0);
    CHECK(simulation_gauge(&simulation, METRIC_SHARED) == 1.0);
    struct job *job = simulation_send(&simulation, &wish);
    simulation_run(&simulation, after(0.301));
    CHECK(job->round != NULL);
    atomic_store(&job->abandoned, true);
    scheduler_check(&simulation.scheduler, simulation.now);
    CHECK(atomic_load(&job->round->stop));
    (void)simulation_send(&simulation, &wish);
    simulation_see_stops(&simulation);
    finish();
    CHECK(simulation.ledger.done == 2 && simulation.ledger.canceled == 1);
    CHECK(simulation.ledger.failed == 0 && simulation.ledger.refused == 0);
    CHECK(simulation_gauge(&simulation, METRIC_SHARED) == 1.0);
}

/* Who follows has no place of its own, but counts: there is a connection for each. */
static void test_followers_are_counted(void)
{
    enum { ROOM = 8 + 5 };
    struct simulation_request wish = {.steps = 60, .tag = "same"};
    start(ROOM - 8);
    simulation.watch = note_problem;
    for (int i = 0; i < ROOM + 3; i++)
        (void)simulation_send(&simulation, &wish);
    CHECK(simulation.ledger.refused == 3 && last_problem == PROBLEM_OVERLOADED);
    simulation_run_out(&simulation);
    CHECK(simulation.ledger.done == 1 && simulation.ledger.shared == ROOM - 1);
    (void)simulation_send(&simulation, &wish);
    simulation_run_out(&simulation);
    CHECK(simulation.ledger.done == 2 && simulation.ledger.refused == 3);
    finish();
}

/* A prompt is encoded once, also when all that have it come before that is done. */
static void test_one_encode(void)
{
    start(200);
    uint64_t begin = simulation.now;
    (void)simulation_send(&simulation,
                          &(struct simulation_request){.steps = 1, .images = 8});
    simulation_run_out(&simulation);
    double took = (double)(simulation.now - begin) / (double)SIMULATION_SECOND;
    (void)fprintf(stderr, "8 images of one prompt in %.2f s\n", took);
    /* 0.03, a step of 8, and 8 decodes of 0.096; 7 * 0.03 more if each were encoded. */
    CHECK(took < 0.03 + (0.01 + 8 * 32 * 6e-4) + 8 * 0.096 + 0.1);
    finish();
    CHECK(simulation.ledger.done == 8);
}

int main(void)
{
    bundle_init();
    model = simulated_model();
    test_equal_images();
    test_followers_are_counted();
    test_one_encode();
    served_model_release(model);
    return 0;
}
