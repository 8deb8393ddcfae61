/* The plan's promises for thousands of random states, and an hour of simulated traffic.
 */
#include "server/batcher.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <math.h>
#include <string.h>

enum { MOST = 200 };

static size_t items_of(const struct batcher_ready *ready, size_t i)
{
    return ready[i].work == BATCHER_STEP ? ready[i].items : 0;
}

/* One state, what was planned for it, and how many are in each round. */
struct state {
    struct batcher_ready ready[MOST];
    size_t n, free_workers;
    struct batcher_limits limits;
    int rounds[MOST];
    size_t n_rounds, jobs[MOST], items[MOST], tokens[MOST];
};

static void plan(struct state *s)
{
    for (size_t i = 0; i < MOST; i++)
        s->rounds[i] = 12345;
    s->n_rounds = batcher_plan(s->ready, s->n, s->free_workers, &s->limits, s->rounds);
    CHECK(s->n_rounds <= s->free_workers);
    memset(s->jobs, 0, sizeof(s->jobs));
    memset(s->items, 0, sizeof(s->items));
    memset(s->tokens, 0, sizeof(s->tokens));
    for (size_t i = 0; i < s->n; i++) {
        CHECK(s->rounds[i] == BATCHER_WAIT ||
              (s->rounds[i] >= 0 && (size_t)s->rounds[i] < s->n_rounds));
        if (s->rounds[i] == BATCHER_WAIT)
            continue;
        const size_t r = (size_t)s->rounds[i];
        s->jobs[r]++;
        s->items[r] += items_of(s->ready, i);
        s->tokens[r] += s->ready[i].tokens;
    }
    for (size_t i = s->n; i < MOST; i++)
        CHECK(s->rounds[i] == 12345);
}

static void expect_rounds(const struct state *s)
{
    enum batcher_work works[MOST] = {0};
    for (size_t i = s->n; i-- > 0;) {
        if (s->rounds[i] != BATCHER_WAIT)
            works[s->rounds[i]] = s->ready[i].work;
    }
    for (size_t i = 0; i < s->n; i++)
        CHECK(s->rounds[i] == BATCHER_WAIT || works[s->rounds[i]] == s->ready[i].work);
    for (size_t r = 0; r < s->n_rounds; r++) {
        CHECK(s->jobs[r] > 0);
        CHECK(s->jobs[r] == 1 || works[r] == BATCHER_STEP);
        CHECK(s->jobs[r] <= s->limits.jobs);
        CHECK(s->jobs[r] == 1 || s->items[r] <= s->limits.items);
        CHECK(s->jobs[r] == 1 || s->tokens[r] <= s->limits.tokens);
    }
}

static size_t count_waiting(const struct state *s, enum batcher_work work)
{
    size_t count = 0;
    for (size_t i = 0; i < s->n; i++)
        count += s->ready[i].work == work && s->rounds[i] == BATCHER_WAIT;
    return count;
}

static size_t count_served(const struct state *s, enum batcher_work work)
{
    size_t count = 0;
    for (size_t i = 0; i < s->n; i++)
        count += s->ready[i].work == work && s->rounds[i] != BATCHER_WAIT;
    return count;
}

/* Decodes before encodes before steps, and no idle worker while something waits. */
static void expect_priorities(const struct state *s)
{
    const size_t decodes = count_waiting(s, BATCHER_DECODE);
    const size_t encodes = count_waiting(s, BATCHER_ENCODE);
    const size_t steps = count_waiting(s, BATCHER_STEP);
    CHECK(decodes == 0 || count_served(s, BATCHER_ENCODE) == 0);
    CHECK(decodes + encodes == 0 || count_served(s, BATCHER_STEP) == 0);
    CHECK(decodes + encodes + steps == 0 || s->n_rounds == s->free_workers);
}

/* Whether i would still fit into round r, behind those of it that came before i. */
static bool would_fit(const struct state *s, size_t i, size_t r)
{
    size_t items = s->ready[i].items, tokens = s->ready[i].tokens, jobs = 0;
    for (size_t k = 0; k < i; k++) {
        if (s->rounds[k] != (int)r)
            continue;
        items += s->ready[k].items;
        tokens += s->ready[k].tokens;
        jobs++;
    }
    return jobs == 0 || (items <= s->limits.items && tokens <= s->limits.tokens);
}

/* Nobody is overtaken by a later one of its kind, but where it does not fit. */
static void expect_order(const struct state *s)
{
    for (size_t later = 0; later < s->n; later++) {
        const int round = s->rounds[later];
        for (size_t i = 0; round != BATCHER_WAIT && i < later; i++) {
            if (s->ready[i].work != s->ready[later].work)
                continue;
            const bool is_overtaken =
                s->rounds[i] == BATCHER_WAIT || s->rounds[i] > round;
            CHECK(!is_overtaken ||
                  (s->ready[i].work == BATCHER_STEP && !would_fit(s, i, (size_t)round)));
        }
    }
}

/* The last round may take all that is left: who still waits does not fit into it. */
static void expect_full(const struct state *s)
{
    for (size_t i = 0; s->n_rounds > 0 && i < s->n; i++) {
        const size_t last = s->n_rounds - 1;
        const bool waits =
            s->rounds[i] == BATCHER_WAIT && s->ready[i].work == BATCHER_STEP;
        if (waits && count_served(s, BATCHER_STEP) > 0)
            CHECK(s->jobs[last] == s->limits.jobs || !would_fit(s, i, last));
    }
}

static struct state draw_state(struct draw *draw)
{
    struct state s = {.n = draw_below(draw, draw_below(draw, 2) == 0 ? 6 : MOST),
                      .free_workers = draw_below(draw, 9),
                      .limits = {1 + draw_below(draw, 64), 1 + draw_below(draw, 40),
                                 1 + draw_below(draw, 4000), 0.0}};
    const size_t kinds = 1 + draw_below(draw, 12);
    for (size_t i = 0; i < s.n; i++) {
        const size_t kind = draw_below(draw, kinds), items = 1 + draw_below(draw, 2);
        s.ready[i].work = kind == 1   ? BATCHER_DECODE
                          : kind == 2 ? BATCHER_ENCODE
                                      : BATCHER_STEP;
        s.ready[i].items = items;
        s.ready[i].tokens =
            items * (1 + draw_below(draw, draw_below(draw, 5) == 0 ? 5000 : 200));
    }
    return s;
}

static void test_random_states(void)
{
    struct draw draw = {1};
    for (int i = 0; i < 20000; i++) {
        struct state s = draw_state(&draw);
        plan(&s);
        expect_rounds(&s);
        expect_priorities(&s);
        expect_order(&s);
        expect_full(&s);
    }
}

/* Where limits allow, the shares differ by one at most. */
static void test_even_split(void)
{
    static struct state s;
    for (size_t n = 1; n <= 64; n++) {
        for (size_t workers = 1; workers <= 8; workers++) {
            s = (struct state){
                .n = n, .free_workers = workers, .limits = {64, 64, 6400, 0.0}};
            for (size_t i = 0; i < n; i++)
                s.ready[i] = (struct batcher_ready){
                    .work = BATCHER_STEP, .items = 1, .tokens = 100};
            plan(&s);
            CHECK(s.n_rounds == (n < workers ? n : workers));
            for (size_t r = 0; r < s.n_rounds; r++)
                CHECK(s.jobs[r] == n / s.n_rounds || s.jobs[r] == n / s.n_rounds + 1);
            CHECK(count_waiting(&s, BATCHER_STEP) == 0);
        }
    }
    s = (struct state){.n = 16, .free_workers = 2, .limits = {16, 32, 100000, 0.0}};
    for (size_t i = 0; i < 16; i++)
        s.ready[i] =
            (struct batcher_ready){.work = BATCHER_STEP, .items = 2, .tokens = 128};
    plan(&s);
    CHECK(s.n_rounds == 2 && s.jobs[0] == 8 && s.jobs[1] == 8);
    for (size_t i = 0; i < 16; i++)
        CHECK(s.rounds[i] == (int)(i / 8));
}

/* A request beyond the limits runs alone, and the others run beside it. */
static void test_oversized(void)
{
    struct state s = {.n = 4, .free_workers = 2, .limits = {16, 8, 1000, 0.0}};
    s.ready[0] = (struct batcher_ready){.work = BATCHER_STEP, .items = 2, .tokens = 5000};
    for (size_t i = 1; i < 4; i++)
        s.ready[i] =
            (struct batcher_ready){.work = BATCHER_STEP, .items = 1, .tokens = 100};
    plan(&s);
    CHECK(s.n_rounds == 2 && s.rounds[0] == 0 && s.jobs[0] == 1 && s.jobs[1] == 3);
    s.free_workers = 0;
    plan(&s);
    CHECK(s.n_rounds == 0 && count_waiting(&s, BATCHER_STEP) == 4);
    s.n = 0;
    s.free_workers = 3;
    plan(&s);
    CHECK(s.n_rounds == 0);
}

/* A step whose deadline does not bear another round's wait goes before decodes and
 * encodes that are due later; one worker is enough for that. */
static void test_pressed(void)
{
    struct state s = {.n = 3, .free_workers = 1, .limits = {16, 8, 1000, 0.0}};
    struct batcher_ready *step = &s.ready[0];
    s.ready[1].work = BATCHER_DECODE;
    s.ready[2].work = BATCHER_ENCODE;
    *step = (struct batcher_ready){
        .work = BATCHER_STEP, .items = 1, .tokens = 100, .seconds = 0.1, .pace = 0.15};
    plan(&s);
    CHECK(s.n_rounds == 1 && s.rounds[0] == 0 && s.rounds[1] == BATCHER_WAIT);
    s.free_workers = 2;
    plan(&s);
    CHECK(s.n_rounds == 2 && s.rounds[0] == 1 && s.rounds[1] == 0);
    CHECK(s.rounds[2] == BATCHER_WAIT);
    s.free_workers = 3;
    plan(&s);
    CHECK(s.n_rounds == 3 && s.rounds[0] == 2 && s.rounds[1] == 0 && s.rounds[2] == 1);
    s.free_workers = 1;
    step->pace = 0.3; /* it can wait */
    plan(&s);
    CHECK(s.n_rounds == 1 && s.rounds[1] == 0);
    step->pace = 0.0;
    plan(&s);
    CHECK(s.rounds[1] == 0);
    s.ready[2] = s.ready[0];
    s.ready[2].pace = 0.05;
    s.ready[0].work = BATCHER_ENCODE; /* all that is due before it is done first */
    plan(&s);
    CHECK(s.n_rounds == 1 && s.rounds[1] == 0);
}

static void test_due(void)
{
    CHECK(batcher_due(100, 0, 0.0, 50) == 150);
    CHECK(batcher_due(100, 0, 2.0, 50) == 150 + UINT64_C(8000000000));
    CHECK(batcher_due(100, 777, 2.0, 50) == 777);
}

/* --- an hour of traffic ----------------------------------------------------------- */

enum { WORKERS = 2, PLACES = 32, JOBS = 4200 };

struct job {
    double arrived, last_served;
    enum batcher_work work;
    size_t items, tokens, evaluations;
    int worker; /* that has it, or -1 */
};

/* Seconds of a round: an evaluation has a fixed share and one by its tokens. */
static double duration(const struct state *s, const struct job *job, size_t round)
{
    static const double fixed[BATCHER_WORK_COUNT] = {
        [BATCHER_DECODE] = 0.120, [BATCHER_ENCODE] = 0.040, [BATCHER_STEP] = 0.008};
    return fixed[job->work] +
           (job->work == BATCHER_STEP ? (double)s->tokens[round] * 0.00015 : 0.0);
}

struct simulation {
    struct job jobs[JOBS];
    size_t running[PLACES], n_running, next;
    double free_at[WORKERS], now, longest_wait, longest_life;
    size_t done, most_in_a_round;
};

/* Mixed requests at about 70 % of what two workers can do, with bursts of ten at once. */
static void draw_jobs(struct simulation *sim, struct draw *draw)
{
    double at = 0.0;
    for (size_t i = 0; i < JOBS; i++) {
        const size_t guided = 1 + draw_below(draw, 2);
        if (i % 40 >= 10)
            at -= 1.2 * log((double)(1 + draw_below(draw, 1000000)) / 1e6);
        sim->jobs[i] =
            (struct job){.arrived = at,
                         .work = BATCHER_ENCODE,
                         .items = guided,
                         .tokens = guided * (draw_below(draw, 8) == 0 ? 1024 : 64),
                         .evaluations = 1 + draw_below(draw, 30),
                         .worker = -1};
    }
}

static void admit(struct simulation *sim)
{
    while (sim->n_running < PLACES && sim->next < JOBS &&
           sim->jobs[sim->next].arrived <= sim->now) {
        sim->jobs[sim->next].last_served = sim->now;
        sim->running[sim->n_running++] = sim->next++;
    }
}

/* Gives rounds to the workers that are free, as the engine does. */
static void start_rounds(struct simulation *sim)
{
    static struct state s;
    size_t workers[WORKERS] = {0}, who[PLACES] = {0};
    s = (struct state){.limits = {16, 32, 4096, 0.0}};
    for (size_t w = 0; w < WORKERS; w++) {
        if (sim->free_at[w] <= sim->now)
            workers[s.free_workers++] = w;
    }
    for (size_t i = 0; i < sim->n_running; i++) {
        const struct job *job = &sim->jobs[sim->running[i]];
        if (job->worker >= 0)
            continue;
        who[s.n] = sim->running[i];
        s.ready[s.n++] = (struct batcher_ready){
            .work = job->work, .items = job->items, .tokens = job->tokens};
    }
    plan(&s);
    expect_rounds(&s);
    for (size_t i = 0; i < s.n; i++) {
        struct job *job = &sim->jobs[who[i]];
        if (s.rounds[i] == BATCHER_WAIT)
            continue;
        const size_t round = (size_t)s.rounds[i];
        job->worker = (int)workers[round];
        sim->free_at[workers[round]] = sim->now + duration(&s, job, round);
        sim->longest_wait = fmax(sim->longest_wait, sim->now - job->last_served);
        sim->most_in_a_round =
            s.jobs[round] > sim->most_in_a_round ? s.jobs[round] : sim->most_in_a_round;
    }
}

/* Rounds that have ended move their jobs on. */
static void end_rounds(struct simulation *sim)
{
    size_t left = 0;
    for (size_t i = 0; i < sim->n_running; i++) {
        struct job *job = &sim->jobs[sim->running[i]];
        sim->running[left++] = sim->running[i];
        if (job->worker < 0 || sim->free_at[job->worker] > sim->now)
            continue;
        job->worker = -1;
        job->last_served = sim->now;
        if (job->work == BATCHER_DECODE) {
            sim->longest_life = fmax(sim->longest_life, sim->now - job->arrived);
            sim->done++;
            left--;
        } else if (job->work == BATCHER_ENCODE || --job->evaluations == 0) {
            job->work = job->work == BATCHER_ENCODE ? BATCHER_STEP : BATCHER_DECODE;
        }
    }
    sim->n_running = left;
}

/* To the next end of a round or arrival. */
static void advance(struct simulation *sim)
{
    double next = (double)INFINITY;
    for (size_t w = 0; w < WORKERS; w++)
        next = sim->free_at[w] > sim->now ? fmin(next, sim->free_at[w]) : next;
    if (sim->next < JOBS && sim->jobs[sim->next].arrived > sim->now)
        next = fmin(next, sim->jobs[sim->next].arrived);
    CHECK(isfinite(next)); /* else somebody waits for ever */
    sim->now = next;
}

static void test_an_hour(void)
{
    static struct simulation sim;
    struct draw draw = {7};
    draw_jobs(&sim, &draw);
    while (sim.done < JOBS) {
        end_rounds(&sim);
        admit(&sim);
        start_rounds(&sim);
        if (sim.done < JOBS)
            advance(&sim);
    }
    (void)fprintf(stderr,
                  "%.0f s: most in a round %zu, longest wait %.2f s, life %.2f s\n",
                  sim.now, sim.most_in_a_round, sim.longest_wait, sim.longest_life);
    CHECK(sim.now > 3600.0);
    CHECK(sim.most_in_a_round > 4);
    /* Two guided requests of the largest size fill a round, which takes 0.6 s: a third
     * one waits for their at most 30 evaluations, and for no later request. */
    CHECK(sim.longest_wait < 30.0);
    CHECK(sim.longest_life < 60.0);
}

int main(void)
{
    test_random_states();
    test_even_split();
    test_oversized();
    test_pressed();
    test_due();
    test_an_hour();
    return 0;
}
