/* The scheduler in simulated time: single rules, and two hours of mixed traffic. */
#include "tests/check.h"
#include "tests/lib/simulation.h"

#include <math.h>

static const char TWO_TAPS[] = SLUICE_SOURCE_DIR "/tests/golden/two-taps/model";

static const struct simulation_machine quiet = {
    .encode = 0.03, .step_fixed = 0.01, .step_unit = 6e-4, .decode_unit = 6e-3};
static const struct simulation_machine noisy = {.encode = 0.03,
                                                .step_fixed = 0.01,
                                                .step_unit = 6e-4,
                                                .decode_unit = 6e-3,
                                                .noise = 0.15,
                                                .hiccup = 0.3};

static struct simulation simulation; /* large */
static struct served_model *two_taps, *renewed;

static struct served_model *open_model(const char *folder)
{
    const struct options options = {.model = folder,
                                    .kernels = "",
                                    .max_batch = 8,
                                    .max_round = 250,
                                    .max_steps = 100};
    struct served_model *model;
    struct err err;
    CHECK_OK(served_model_open(&model, &options, 2, 0, &err), err);
    CHECK(model->rounds.jobs == 8 && model->rounds.seconds == 0.25);
    return model;
}

static void observe(struct cost_model *costs,
                    enum batcher_work work,
                    const struct cost_share *share,
                    double seconds)
{
    const struct cost_round round = {.work = work, .shares = share, .n = 1};
    cost_model_observe(costs, &round, seconds);
}

/* As calibration leaves the model's costs: `factor` times what is true. */
static void calibrate_as(struct served_model *model, double factor)
{
    size_t text = bundle_info(model->round.bundle)->text_tokens;
    const struct simulation_machine *m = &quiet;
    model->costs = (struct cost_model){0};
    for (size_t side = 1; side <= 4; side *= 2) {
        const struct cost_share encode = {text, 1}, decode = {side * side, 1};
        observe(&model->costs, BATCHER_ENCODE, &encode, factor * m->encode);
        observe(&model->costs, BATCHER_DECODE, &decode,
                factor * m->decode_unit * (double)decode.size);
        for (size_t items = 1; items <= (side == 4 ? 8 : 1); items *= 2) {
            const struct cost_share step = {side * side + text, items};
            observe(&model->costs, BATCHER_STEP, &step,
                    factor * (m->step_fixed +
                              m->step_unit * (double)(step.size * step.items)));
        }
    }
}

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
    calibrate_as(two_taps, factor);
    calibrate_as(renewed, factor);
    simulation_start(&simulation, &setting, &quiet, two_taps);
}

static void finish(void)
{
    simulation_run_out(&simulation);
    simulation_finish(&simulation);
    CHECK(atomic_load(&two_taps->holds) == 1 && atomic_load(&renewed->holds) == 1);
}

static uint64_t after(double seconds)
{
    return simulation.now + (uint64_t)(seconds * 1e9);
}

/* --- single rules ----------------------------------------------------------------- */

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
    simulation_start(&simulation, &setting, &quiet, two_taps);
    wish.deadline = 0.0;
    for (int i = 0; i < 30; i++)
        (void)simulation_send(&simulation, &wish);
    CHECK(simulation.ledger.refused == 30 - 16 - 3);
    finish();
    setting = usual;
    setting.job_memory = 1 << 20;
    simulation_start(&simulation, &setting, &quiet, two_taps);
    for (int i = 0; i < 30; i++)
        (void)simulation_send(&simulation, &wish);
    CHECK(simulation.ledger.refused > 20 && simulation.ledger.refused < 30);
    finish();
    setting = usual;
    setting.max_wait = SIMULATION_SECOND;
    simulation_start(&simulation, &setting, &quiet, two_taps);
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
    /* Beside another, whose work goes on. */
    (void)simulation_send(&simulation, &wish);
    wish.leaves = 0.0;
    (void)simulation_send(&simulation, &wish);
    finish();
    CHECK(simulation.stopped == 1 && simulation.ledger.done == 1);
    CHECK(simulation.ledger.canceled == 2);
    CHECK(simulation_gauge(&simulation, METRIC_CANCELED) == 2.0);

    /* While it waits; and before it was taken. */
    start(1, 1, 1.0);
    (void)simulation_send(&simulation, &wish);
    wish.leaves = 0.2;
    (void)simulation_send(&simulation, &wish);
    finish();
    CHECK(simulation.ledger.done == 1 && simulation.ledger.canceled == 1);
    CHECK(simulation.ledger.evaluations == 60 && simulation.stopped == 0);
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
    for (int i = 0; i < 6; i++)
        (void)simulation_send(&simulation, &(struct simulation_request){.steps = 30});
    CHECK(atomic_load(&two_taps->holds) == 7 && atomic_load(&renewed->holds) == 7);
    finish();
    CHECK(simulation.ledger.done == 12);
}

/* --- two hours -------------------------------------------------------------------- */

enum { PHASES = 8, PHASE_SECONDS = 900 };

/* Of what the server can do; bursts: how many come at once. */
static const struct phase {
    double load;
    size_t burst;
} phases[PHASES] = {{0.5, 1},  {1.0, 1}, {2.0, 1},  {10.0, 1},
                    {0.5, 40}, {1.0, 1}, {2.0, 40}, {0.3, 1}};

struct traffic {
    double capacity;     /* requests a second, about */
    size_t done[PHASES]; /* images of each phase */
    double prediction;   /* sum of log of actual by predicted */
    size_t predictions;
};

static struct traffic traffic;

static struct simulation_request draw_wish(struct draw *draw, char prompt[16])
{
    static const size_t sides[] = {32, 64, 64, 128};
    struct simulation_request wish = {.prompt = prompt};
    (void)snprintf(prompt, 16, "prompt %zu", draw_below(draw, 300));
    wish.steps = 1 + (unsigned)draw_below(draw, draw_below(draw, 8) == 0 ? 60 : 16);
    wish.side = sides[draw_below(draw, 4)];
    wish.guidance = draw_below(draw, 4) == 0 ? 4.0 : 1.0;
    wish.solver = (enum solver_kind)draw_below(draw, SOLVER_COUNT);
    if (draw_below(draw, 5) < 2) {
        wish.deadline = 0.5 + (double)draw_below(draw, 1000) / 50.0;
        wish.min_steps =
            draw_below(draw, 2) == 0 ? 0 : 1 + (unsigned)draw_below(draw, wish.steps);
    }
    if (draw_below(draw, 20) == 0)
        wish.leaves = 0.01 + (double)draw_below(draw, 1000) / 200.0;
    return wish;
}

/* Worker-seconds of a request in rounds of four, with nothing cached. */
static double work_of(const struct simulation_request *wish)
{
    const struct sampling sampling = {
        .steps = wish->steps, .guidance = wish->guidance, .solver = wish->solver};
    double latent = (double)(wish->side / 16 * (wish->side / 16));
    return quiet.encode + quiet.decode_unit * latent +
           sampling_evaluations(&sampling) *
               (quiet.step_fixed / 4 + quiet.step_unit * (latent + 16));
}

static double mean_work(void)
{
    enum { SAMPLES = 2000 };
    struct draw draw = {77};
    char prompt[16];
    double sum = 0.0;
    for (int i = 0; i < SAMPLES; i++) {
        const struct simulation_request wish = draw_wish(&draw, prompt);
        sum += work_of(&wish);
    }
    return sum / SAMPLES;
}

static size_t phase_now(const struct simulation *s)
{
    size_t phase = (size_t)((s->now / SIMULATION_SECOND - 1000) / PHASE_SECONDS);
    return phase < PHASES ? phase : PHASES - 1;
}

static void note_traffic(struct simulation *s, const struct job *job)
{
    if (getenv("DBG") && job->problem.kind==PROBLEM_DEADLINE && job->promised)
        printf("miss t=%.1f sub %.1f started %.1f deadline %.1f promised %.1f steps %u of %u..%u g %g sol %d w %zu done %u fast %g\n",(double)s->now/1e9-1000,(double)job->submitted/1e9-1000,(double)job->started/1e9-1000,(double)job->deadline/1e9-1000,(double)job->promised/1e9-1000,job->request.sampling.steps,job->min_steps,job->max_steps,job->request.sampling.guidance,job->request.sampling.solver,job->request.sampling.width,job->facts.steps,job->seconds_left);
    if (getenv("DBG") && job->state==JOB_DONE && !job->deadline && job->facts.queue > 70e9)
        printf("long t=%.1f sub %.1f started %.1f due %.1f promised %.1f steps %u g %g sol %d w %zu\n",(double)s->now/1e9-1000,(double)job->submitted/1e9-1000,(double)job->started/1e9-1000,(double)job->due/1e9-1000,(double)job->promised/1e9-1000,job->request.sampling.steps,job->request.sampling.guidance,job->request.sampling.solver,job->request.sampling.width);
    if (job->state != JOB_DONE)
        return;
    traffic.done[phase_now(s)]++;
    traffic.prediction +=
        log((double)(s->now - job->submitted) / (double)(job->promised - job->submitted));
    traffic.predictions++;
}

static void run_phase(const struct phase *phase, struct draw *draw)
{
    uint64_t end = after(PHASE_SECONDS);
    char prompt[16];
    while (simulation.now < end) {
        double uniform = (double)(1 + draw_below(draw, 1000000)) / 1e6;
        double gap =
            -log(uniform) * (double)phase->burst / (phase->load * traffic.capacity);
        uint64_t next = after(gap);
        simulation_run(&simulation, next < end ? next : end);
        for (size_t i = 0; next < end && i < phase->burst; i++) {
            const struct simulation_request wish = draw_wish(draw, prompt);
            (void)simulation_send(&simulation, &wish);
        }
    }
}

static void expect_traffic(void)
{
    const struct simulation_ledger *ledger = &simulation.ledger;
    size_t peak = 0;
    for (size_t i = 0; i < PHASES; i++) {
        (void)fprintf(stderr, "%4.1f x: %.2f images/s\n", phases[i].load,
                      (double)traffic.done[i] / PHASE_SECONDS);
        if (phases[i].load <= 1.0 && traffic.done[i] > peak)
            peak = traffic.done[i];
    }
    (void)fprintf(stderr,
                  "%zu sent: %zu done, %zu refused, %zu canceled; %zu of %zu deadlines "
                  "missed; queue at most %.1f s, life %.1f s; actual by predicted %.2f\n",
                  ledger->submitted, ledger->done, ledger->refused, ledger->canceled,
                  ledger->missed, ledger->deadlines, ledger->longest_queue,
                  ledger->longest_life,
                  exp(traffic.prediction / (double)traffic.predictions));
    CHECK(ledger->failed == 0);
    CHECK(ledger->deadlines > 1000 && ledger->missed * 100 <= ledger->deadlines);
    /* Goodput under overload is that of a full server. */
    CHECK((double)traffic.done[2] >= 0.95 * (double)peak);
    CHECK((double)traffic.done[3] >= 0.95 * (double)peak);
    CHECK((double)traffic.done[6] >= 0.95 * (double)peak);
    /* Nobody waits longer than was promised, and four times the longest work. */
    CHECK(ledger->longest_queue < 30.0 + 4 * 6.0);
    CHECK(ledger->longest_life < 30.0 + 8 * 6.0);
    CHECK(simulation.most_in_a_round > 4);
}

static void test_two_hours(void)
{
    struct draw draw = {2026};
    traffic = (struct traffic){.capacity = 2.0 / mean_work()};
    start(2, 8, 0.5); /* half of what rounds take in truth */
    simulation.machine = noisy;
    simulation.watch = note_traffic;
    for (size_t i = 0; i < PHASES; i++) {
        run_phase(&phases[i], &draw);
        if (i == 1) { /* a reload, right before the overload */
            simulation.model = renewed;
            scheduler_use_model(&simulation.scheduler, renewed);
        }
    }
    finish();
    expect_traffic();
}

int main(void)
{
    bundle_init();
    two_taps = open_model(TWO_TAPS);
    renewed = open_model(TWO_TAPS);
    test_one_job();
    test_batches();
    test_short_ones_first();
    test_long_one_is_not_starved();
    test_steps_are_lowered();
    test_steps_are_corrected();
    test_refusals();
    test_clients_leave();
    test_deadline_passes();
    test_cancel_all();
    test_failed_round();
    test_model_swap();
    test_two_hours();
    served_model_release(two_taps);
    served_model_release(renewed);
    return 0;
}
