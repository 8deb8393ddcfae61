/* Two hours of mixed traffic in simulated time, through overload and a change of the
 * model: nobody starves, deadlines are kept, and overload costs no throughput. */
#include "tests/check.h"
#include "tests/lib/simulation.h"

#include <math.h>

static struct simulation simulation; /* large */

static const struct simulated_machine noisy = {.encode = 0.03,
                                               .step_fixed = 0.01,
                                               .step_unit = 6e-4,
                                               .decode_unit = 6e-3,
                                               .noise = 0.15,
                                               .hiccup = 0.3};

static uint64_t after(double seconds)
{
    return simulation.now + (uint64_t)(seconds * 1e9);
}

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
    double lateness;     /* the longest time after what a request was due */
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
    size_t side = wish->side / 16;
    double latent = (double)(side * side);
    return simulated_quiet.encode + simulated_quiet.decode_unit * latent +
           sampling_evaluations(&sampling) * (simulated_quiet.step_fixed / 4 +
                                              simulated_quiet.step_unit * (latent + 16));
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
    if (job->state != JOB_DONE)
        return;
    const struct sampling *sampling = &job->request.sampling;
    const struct simulation_request wish = {.steps = job->max_steps,
                                            .side = sampling->width,
                                            .guidance = sampling->guidance,
                                            .solver = sampling->solver};
    double due = 30.0 + 4.0 * work_of(&wish);
    double life = (double)(s->now - job->submitted) / 1e9;
    if (job->deadline == 0 && life - due > traffic.lateness)
        traffic.lateness = life - due;
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
                  "missed; queue at most %.1f s, life %.1f s, %.1f s after it was due; "
                  "actual by predicted %.2f\n",
                  ledger->submitted, ledger->done, ledger->refused, ledger->canceled,
                  ledger->missed, ledger->deadlines, ledger->longest_queue,
                  ledger->longest_life, traffic.lateness,
                  exp(traffic.prediction / (double)traffic.predictions));
    CHECK(ledger->failed == 0);
    CHECK(ledger->deadlines > 1000 && ledger->missed * 100 <= ledger->deadlines);
    /* Goodput under overload is that of a full server. */
    CHECK((double)traffic.done[2] >= 0.95 * (double)peak);
    CHECK((double)traffic.done[3] >= 0.95 * (double)peak);
    CHECK((double)traffic.done[6] >= 0.95 * (double)peak);
    CHECK(traffic.lateness < 45.0);
    CHECK(simulation.most_in_a_round > 4);
}

static void test_two_hours(void)
{
    const struct scheduler_setting setting = {.workers = 2,
                                              .max_batch = 8,
                                              .queue = 200,
                                              .job_memory = SIZE_MAX / 2,
                                              .max_wait = 30 * SIMULATION_SECOND,
                                              .context_cache = 64 * 1024};
    struct served_model *model = simulated_model(), *renewed = simulated_model();
    struct draw draw = {2026};
    traffic = (struct traffic){.capacity = 2.0 / mean_work()};
    /* Rounds take twice what calibration says. */
    simulated_calibrate(model, &noisy, 0.5);
    simulated_calibrate(renewed, &noisy, 0.5);
    simulation_start(&simulation, &setting, &noisy, model);
    simulation.watch = note_traffic;
    for (size_t i = 0; i < PHASES; i++) {
        run_phase(&phases[i], &draw);
        if (i == 1) { /* a reload, right before the overload */
            simulation.model = renewed;
            scheduler_use_model(&simulation.scheduler, renewed);
        }
    }
    simulation_run_out(&simulation);
    simulation_finish(&simulation);
    CHECK(atomic_load(&model->holds) == 1 && atomic_load(&renewed->holds) == 1);
    served_model_release(model);
    served_model_release(renewed);
    expect_traffic();
}

int main(void)
{
    bundle_init();
    test_two_hours();
    return 0;
}
