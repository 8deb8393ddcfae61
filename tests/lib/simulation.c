#include "tests/lib/simulation.h"

#include "server/verdict.h"
#include "tests/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void ended(void *context)
{
    struct simulation *simulation = context;
    simulation->ended++;
}

void simulation_start(struct simulation *simulation,
                      const struct scheduler_setting *setting,
                      const struct simulated_machine *machine,
                      struct served_model *model)
{
    struct scheduler_setting own = *setting;
    struct err err;
    CHECK(setting->workers <= SIMULATION_WORKERS);
    memset(simulation, 0, sizeof(*simulation));
    list_init(&simulation->kept);
    own.metrics = &simulation->metrics;
    own.ended = ended;
    own.context = simulation;
    simulation->machine = *machine;
    simulation->n_workers = setting->workers;
    simulation->now = 1000 * SIMULATION_SECOND;
    simulation->model = model;
    CHECK_OK(scheduler_init(&simulation->scheduler, &own, &err), err);
    scheduler_use_model(&simulation->scheduler, model);
}

/* --- what must hold --------------------------------------------------------------- */

/* Who is due earlier is not left behind by who does the same: of decodes and encodes
 * none, of steps not the first. */
static void check_plan(const struct scheduler *scheduler)
{
    bool waits[BATCHER_WORK_COUNT] = {0};
    for (size_t i = 0; i < scheduler->planner.n; i++) {
        enum batcher_work work = scheduler->planner.ready[i].work;
        bool is_served = scheduler->planner.rounds[i] != BATCHER_WAIT;
        CHECK(i == 0 ||
              scheduler->planner.jobs[i - 1]->due <= scheduler->planner.jobs[i]->due);
        CHECK(work == BATCHER_STEP || !(waits[work] && is_served));
        waits[work] = waits[work] || !is_served;
    }
    for (size_t i = 0; i < scheduler->planner.n; i++) {
        if (scheduler->planner.ready[i].work != BATCHER_STEP)
            continue;
        /* The first of the steps: it is served if any is. */
        bool is_any = false;
        for (size_t k = i; k < scheduler->planner.n; k++)
            is_any = is_any || (scheduler->planner.ready[k].work == BATCHER_STEP &&
                                scheduler->planner.rounds[k] != BATCHER_WAIT);
        CHECK(!is_any || scheduler->planner.rounds[i] != BATCHER_WAIT);
        break;
    }
}

static void check_roster(const struct scheduler *scheduler)
{
    const struct roster *roster = &scheduler->roster;
    struct list_node *node = list_first(&roster->queued);
    uint64_t before = 0;
    size_t n = 0;
    for (; node != NULL; node = list_next(&roster->queued, node), n++) {
        const struct job *job = list_entry(node, struct job, node);
        CHECK(job->due >= before);
        before = job->due;
    }
    CHECK(n == roster->n_queued);
    CHECK(roster->n_running <= 2 * scheduler->places);
    CHECK(roster->n_running + n + roster->n_following <=
          scheduler->places + scheduler->setting.queue);
    CHECK(roster->memory <= scheduler->setting.job_memory);
}

/* Of another model than the newest, one request is a round. */
static void check_round(const struct scheduler *scheduler, const struct round *round)
{
    CHECK(round->n == 1 || round->jobs[0]->model == scheduler->model);
    CHECK(round->n >= 1 && round->n <= ROUND_MAX_JOBS);
    CHECK(round->n == 1 || round->work == BATCHER_STEP);
    for (size_t i = 0; i < round->n; i++) {
        CHECK(round->jobs[i]->model == round->jobs[0]->model);
        CHECK(round->setting == &round->jobs[i]->model->round);
        CHECK(round->jobs[i]->round == round);
    }
}

/* A machine's time for a round varies. */
static double noise(struct simulation *simulation)
{
    double factor =
        1.0 + simulation->machine.noise * (double)draw_float(&simulation->draw);
    bool is_hiccup =
        (double)draw_below(&simulation->draw, 10000) < 100.0 * simulation->machine.hiccup;
    return is_hiccup ? 3.0 * factor : factor;
}

/* --- events ----------------------------------------------------------------------- */

/* The workers that are free get rounds; who stays idle helps. */
static void schedule(struct simulation *simulation)
{
    struct simulation_worker *free_workers[SIMULATION_WORKERS];
    size_t n_free = 0, waiting;
    for (size_t i = 0; i < simulation->n_workers; i++) {
        if (!simulation->workers[i].is_busy)
            free_workers[n_free++] = &simulation->workers[i];
    }
    size_t n = scheduler_plan(&simulation->scheduler, n_free, &waiting, simulation->now);
    CHECK(n <= n_free && (waiting == 0 || n == n_free));
    check_plan(&simulation->scheduler);
    for (size_t i = 0; i < n; i++) {
        struct simulation_worker *worker = free_workers[i];
        struct round *round = &worker->round;
        memset(round, 0, sizeof(*round));
        scheduler_fill(&simulation->scheduler, i, round, simulation->now);
        check_round(&simulation->scheduler, round);
        round->helped = waiting == 0 && n < n_free;
        double seconds = simulated_seconds(&simulation->machine, round) *
                         noise(simulation) * (round->helped ? 0.6 : 1.0);
        worker->is_busy = true;
        worker->was_stopped = false;
        worker->begins = simulation->now;
        worker->ends = simulation->now + (uint64_t)(seconds * 1e9) + 1;
        if (round->n > simulation->most_in_a_round)
            simulation->most_in_a_round = round->n;
    }
    check_roster(&simulation->scheduler);
    scheduler_publish(&simulation->scheduler);
}

/* A round that was told to stop ends at the next of its ten blocks. */
void simulation_see_stops(struct simulation *simulation)
{
    for (size_t i = 0; i < simulation->n_workers; i++) {
        struct simulation_worker *worker = &simulation->workers[i];
        if (!worker->is_busy || worker->was_stopped || !atomic_load(&worker->round.stop))
            continue;
        bool is_canceling = simulation->scheduler.is_canceling;
        for (size_t k = 0; k < worker->round.n; k++)
            CHECK(verdict_is_unwanted(worker->round.jobs[k], is_canceling,
                                      simulation->now));
        uint64_t block = simulation->now + (worker->ends - worker->begins) / 10;
        worker->ends = block < worker->ends ? block : worker->ends;
        worker->was_stopped = true;
        simulation->stopped++;
    }
}

static void check_jobs(struct simulation *simulation)
{
    scheduler_check(&simulation->scheduler, simulation->now);
    simulation_see_stops(simulation);
}

static void end_round(struct simulation *simulation, struct simulation_worker *worker)
{
    struct round *round = &worker->round;
    worker->is_busy = false;
    round->took = simulation->now - worker->begins;
    if (worker->was_stopped)
        round->code = err_set(&round->err, ERR_CANCELED, "stopped");
    else if (round->code == ERR_OK)
        simulated_execute(round);
    scheduler_end_round(&simulation->scheduler, round, simulation->now);
}

static void forget_leaver(struct simulation *simulation, size_t i)
{
    simulation->leavers[i] = simulation->leavers[--simulation->n_leavers];
}

static void done(struct job *job, void *context)
{
    struct simulation *simulation = context;
    struct simulation_ledger *ledger = &simulation->ledger;
    double life = (double)(simulation->now - job->submitted) / 1e9;
    bool was_refused = job->promised == 0;
    CHECK(job_is_over(job) && job->round == NULL);
    CHECK((job->state == JOB_DONE) == (job->problem.kind == PROBLEM_NONE));
    CHECK(job->state != JOB_DONE || job->png.length == 3);
    for (size_t i = 0; i < JOB_CONTEXTS; i++)
        CHECK(job->contexts[i] == NULL);
    for (size_t i = simulation->n_leavers; i-- > 0;) {
        if (simulation->leavers[i].job == job)
            forget_leaver(simulation, i);
    }
    bool is_shared = job->state == JOB_DONE && job->started == 0;
    ledger->shared += is_shared;
    ledger->done += job->state == JOB_DONE && !is_shared;
    ledger->canceled += job->state == JOB_CANCELED;
    ledger->refused += job->state == JOB_FAILED && was_refused;
    ledger->failed += job->state == JOB_FAILED && !was_refused;
    ledger->evaluations += is_shared ? 0 : job->facts.evaluations;
    if (!was_refused && job->deadline != 0 && job->problem.kind != PROBLEM_CLIENT_GONE) {
        ledger->deadlines++;
        ledger->missed += job->state != JOB_DONE;
    }
    if (job->state == JOB_DONE) {
        CHECK(job->deadline == 0 || simulation->now < job->deadline);
        CHECK(job->facts.steps == job->request.sampling.steps);
        CHECK(job->facts.steps >= job->min_steps && job->facts.steps <= job->max_steps);
        CHECK(job->facts.evaluations == sampling_evaluations(&job->request.sampling));
        ledger->lives += life;
        if (job->deadline == 0) {
            ledger->longest_queue =
                fmax(ledger->longest_queue, (double)job->facts.queue / 1e9);
            ledger->longest_life = fmax(ledger->longest_life, life);
        }
    }
    ledger->last_end = simulation->now;
    if (simulation->watch != NULL)
        simulation->watch(simulation, job);
    if (job->first == job && job->images == 1)
        job_destroy(job);
    else /* the others read what the first was promised */
        list_append(&simulation->kept, &job->node);
}

/* --- clients ---------------------------------------------------------------------- */

static struct job *create(struct simulation *simulation,
                          const struct simulation_request *wish)
{
    struct request request = {
        .prompt = strdup(wish->prompt == NULL ? "a cat" : wish->prompt),
        .negative_prompt = strdup(""),
        .min_steps = wish->min_steps,
        .deadline_milliseconds = (uint32_t)(wish->deadline * 1e3),
        .sampling = {.steps = wish->steps,
                     .width = wish->side == 0 ? 64 : wish->side,
                     .height = wish->side == 0 ? 64 : wish->side,
                     .guidance = wish->guidance == 0.0 ? 1.0 : wish->guidance,
                     .solver = wish->solver},
    };
    struct job *job;
    struct err err;
    CHECK(request.prompt != NULL && request.negative_prompt != NULL);
    request.prompt_bytes = strlen(request.prompt);
    CHECK_OK(job_create(&job, &request, simulation->model, &err), err);
    job->done = done;
    job->context = simulation;
    job->submitted = simulation->now;
    if (wish->tag != NULL)
        (void)snprintf(job->tag, sizeof(job->tag), "%s", wish->tag);
    if (wish->deadline > 0.0)
        job->deadline = simulation->now + (uint64_t)(wish->deadline * 1e9);
    if (wish->leaves > 0.0) {
        CHECK(simulation->n_leavers < SIMULATION_LEAVERS);
        size_t i = simulation->n_leavers++;
        simulation->leavers[i].job = job;
        simulation->leavers[i].at = simulation->now + (uint64_t)(wish->leaves * 1e9);
    }
    return job;
}

struct job *simulation_send(struct simulation *simulation,
                            const struct simulation_request *wish)
{
    enum { MOST_IMAGES = 16 };
    struct job *jobs[MOST_IMAGES];
    unsigned n = wish->images == 0 ? 1 : wish->images;
    CHECK(n <= MOST_IMAGES);
    for (unsigned i = 0; i < n; i++) {
        jobs[i] = create(simulation, wish);
        jobs[i]->first = jobs[0];
    }
    jobs[0]->images = n;
    for (unsigned i = 0; i < n; i++) {
        simulation->ledger.submitted++;
        if (job_is_over(jobs[0]) && i > 0)
            atomic_store(&jobs[i]->dropped, true);
        scheduler_take(&simulation->scheduler, jobs[i], simulation->now);
    }
    return jobs[n - 1]; /* which may be gone */
}

static void leave(struct simulation *simulation)
{
    for (size_t i = simulation->n_leavers; i-- > 0;) {
        if (simulation->leavers[i].at > simulation->now)
            continue;
        atomic_store(&simulation->leavers[i].job->abandoned, true);
        forget_leaver(simulation, i);
    }
    check_jobs(simulation);
}

/* --- time ------------------------------------------------------------------------- */

/* The next instant at which something happens, at most `end`. */
static uint64_t next(const struct simulation *simulation, uint64_t end)
{
    uint64_t next = end;
    uint64_t deadline =
        roster_next_deadline(&simulation->scheduler.roster, simulation->now);
    if (deadline < next)
        next = deadline;
    for (size_t i = 0; i < simulation->n_workers; i++) {
        const struct simulation_worker *worker = &simulation->workers[i];
        if (worker->is_busy && worker->ends < next)
            next = worker->ends;
    }
    for (size_t i = 0; i < simulation->n_leavers; i++) {
        if (simulation->leavers[i].at < next)
            next = simulation->leavers[i].at;
    }
    return next > simulation->now ? next : simulation->now;
}

/* Does all that happens until `end`, which is now afterwards. */
void simulation_run(struct simulation *simulation, uint64_t end)
{
    schedule(simulation);
    while (simulation->now < end) {
        simulation->now = next(simulation, end);
        if (simulation->now >= simulation->next_refresh) {
            scheduler_refresh(&simulation->scheduler);
            simulation->next_refresh = simulation->now + SIMULATION_SECOND;
        }
        leave(simulation);
        for (size_t i = 0; i < simulation->n_workers; i++) {
            struct simulation_worker *worker = &simulation->workers[i];
            if (worker->is_busy && worker->ends <= simulation->now)
                end_round(simulation, worker);
        }
        schedule(simulation);
    }
}

/* Until no job is left. */
void simulation_run_out(struct simulation *simulation)
{
    const struct roster *roster = &simulation->scheduler.roster;
    uint64_t limit = simulation->now + 3600 * SIMULATION_SECOND;
    schedule(simulation);
    while (roster->n_running + roster->n_queued > 0) {
        CHECK(simulation->now < limit);
        simulation_run(simulation, next(simulation, limit) + 1);
    }
}

double simulation_gauge(const struct simulation *simulation, enum metric metric)
{
    double sum = 0.0;
    for (size_t i = 0; i < METRIC_LABELS; i++)
        sum += (double)atomic_load(&simulation->metrics.values[metric][i]) / 1e6;
    return sum;
}

/* Everybody got one answer, the metrics say the same, and nothing is left. */
void simulation_finish(struct simulation *simulation)
{
    const struct simulation_ledger *ledger = &simulation->ledger;
    const struct roster *roster = &simulation->scheduler.roster;
    CHECK(ledger->submitted == ledger->done + ledger->shared + ledger->refused +
                                   ledger->canceled + ledger->failed);
    CHECK(simulation->ended == ledger->submitted);
    CHECK(roster->n_queued == 0 && roster->n_running == 0 && roster->memory == 0);
    CHECK(simulation_gauge(simulation, METRIC_RUNNING) == 0.0);
    CHECK(simulation_gauge(simulation, METRIC_QUEUE_LENGTH) == 0.0);
    CHECK(simulation_gauge(simulation, METRIC_PREDICTED_WAIT) == 0.0);
    CHECK((size_t)simulation_gauge(simulation, METRIC_IMAGES) == ledger->done);
    CHECK((size_t)simulation_gauge(simulation, METRIC_REFUSALS) == ledger->refused);
    CHECK((size_t)simulation_gauge(simulation, METRIC_EVALUATIONS) ==
          ledger->evaluations);
    CHECK((size_t)simulation_gauge(simulation, METRIC_DEADLINES) == ledger->deadlines);
    for (size_t i = 0; i < simulation->n_workers; i++)
        CHECK(!simulation->workers[i].is_busy);
    for (struct list_node *node; (node = list_pop(&simulation->kept)) != NULL;)
        job_destroy(list_entry(node, struct job, node));
    scheduler_finish(&simulation->scheduler);
}
