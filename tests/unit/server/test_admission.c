/* Who is let in: compared with a brute-force search over random states, and with a
 * simulated machine on which everybody's work is done in order of due. */
#include "server/admission.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <math.h>
#include <stdbool.h>

enum { MOST = 24, MOST_IMAGES = 4, ALL = MOST + MOST_IMAGES };

static const uint64_t now = UINT64_C(5000000000);
static const double margin = 1.15; /* admission.c's */

static uint64_t in(double seconds)
{
    return now + (uint64_t)(seconds * 1e9);
}

static double until(uint64_t instant)
{
    return instant > now ? (double)(instant - now) / 1e9 : 0.0;
}

/* One newcomer, and what was promised before him. */
struct state {
    struct admission_ask ask;
    struct admission_limits limits;
    struct commitment before[MOST];
    size_t n;
};

static struct admission decide(const struct state *s)
{
    return admission_decide(&s->ask, s->before, s->n, &s->limits, now);
}

static double draw_real(struct draw *draw, double low, double high)
{
    return low + (high - low) * ((double)draw_float(draw) + 1.0) / 2.0;
}

static int by_due(const void *a, const void *b)
{
    const struct commitment *one = a, *other = b;
    return (one->due > other->due) - (one->due < other->due);
}

static struct commitment draw_commitment(struct draw *draw)
{
    struct commitment c = {.deadline = ADMISSION_NEVER,
                           .seconds = draw_real(draw, 0.0, 4.0)};
    c.due = in(draw_real(draw, 0.0, 60.0));
    if (draw_below(draw, 2) == 0)
        c.deadline = c.due;
    return c;
}

static struct state draw_state(struct draw *draw)
{
    struct state s = {.n = draw_below(draw, draw_below(draw, 2) == 0 ? 4 : MOST)};
    struct admission_ask *ask = &s.ask;
    s.limits = (struct admission_limits){1 + draw_below(draw, 4), 12.0,
                                         draw_real(draw, 0.0, 0.3)};
    for (size_t i = 0; i < s.n; i++)
        s.before[i] = draw_commitment(draw);
    qsort(s.before, s.n, sizeof(s.before[0]), by_due);
    ask->steps = 1 + (unsigned)draw_below(draw, 60);
    ask->min_steps = 1 + (unsigned)draw_below(draw, ask->steps);
    ask->fixed = draw_real(draw, 0.0, 1.0);
    ask->each_step = draw_real(draw, 0.0, 0.3);
    ask->alone_fixed = ask->fixed * draw_real(draw, 0.3, 1.0);
    ask->alone_each_step = ask->each_step * draw_real(draw, 0.3, 1.0);
    ask->images =
        1 + (unsigned)draw_below(draw, draw_below(draw, 2) == 0 ? 1 : MOST_IMAGES);
    ask->due = in(draw_real(draw, 0.0, 60.0));
    ask->deadline = draw_below(draw, 4) == 0 ? ADMISSION_NEVER : ask->due;
    return s;
}

/* --- the machine ------------------------------------------------------------------ */

/* Everybody's work is there at once and goes to the workers in order of due, one worker
 * each: ends[i] is when the i-th is done. */
static void run(const struct commitment *jobs, size_t n, size_t workers, double ends[ALL])
{
    double free_at[8] = {0};
    CHECK(workers <= 8);
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        for (size_t w = 1; w < workers; w++)
            first = free_at[w] < free_at[first] ? w : first;
        ends[i] = free_at[first] += jobs[i].seconds;
    }
}

/* The jobs with the newcomer's images behind those that are due no later; returns the
 * place of his last. */
static size_t insert(const struct state *s, double seconds, struct commitment *with)
{
    size_t place = 0, images = s->ask.images;
    while (place < s->n && s->before[place].due <= s->ask.due)
        place++;
    for (size_t i = 0; i < s->n; i++)
        with[i < place ? i : i + images] = s->before[i];
    for (size_t i = 0; i < images; i++)
        with[place + i] = (struct commitment){s->ask.due, s->ask.deadline, seconds};
    return place + images - 1;
}

/* What the admission test knows of the job at `place`: the work before it is shared, its
 * own is one worker's. */
static double finish(const struct commitment *jobs, size_t place, size_t workers)
{
    double before = 0.0;
    for (size_t i = 0; i < place; i++)
        before += jobs[i].seconds;
    return before / (double)workers + jobs[place].seconds;
}

static bool is_promised(const struct state *s, const struct commitment *jobs, size_t i)
{
    return jobs[i].deadline == ADMISSION_NEVER ||
           finish(jobs, i, s->limits.workers) * margin + s->limits.slack <=
               until(jobs[i].deadline) + 1e-9;
}

static bool is_possible(const struct state *s, const struct commitment *jobs, size_t i)
{
    return jobs[i].deadline == ADMISSION_NEVER ||
           finish(jobs, i, s->limits.workers) <= until(jobs[i].deadline);
}

/* Nobody who could be in time without the newcomer misses because of him; of all the
 * others, who had what he was promised keeps it. */
static void expect_promises(const struct state *s, const struct admission *a)
{
    struct commitment with[ALL] = {0};
    double ends[ALL] = {0};
    double seconds = s->ask.fixed + a->steps * s->ask.each_step;
    size_t place = insert(s, seconds, with);
    size_t images = s->ask.images;
    run(with, s->n + images, s->limits.workers, ends);
    for (size_t i = 0; i < s->n + images; i++) {
        if (i <= place && i + images > place)
            continue;
        size_t old = i > place ? i - images : i;
        CHECK(!is_promised(s, s->before, old) || is_promised(s, with, i));
        if (is_possible(s, s->before, old) && with[i].deadline != ADMISSION_NEVER)
            CHECK(ends[i] <= until(with[i].deadline) + 1e-6);
    }
    if (s->n > 0 && s->ask.deadline != ADMISSION_NEVER)
        CHECK(ends[place] <= until(s->ask.deadline));
    if (s->n > 0)
        CHECK(ends[place] <= a->finish + 1e-6);
}

/* --- brute force ------------------------------------------------------------------ */

/* With nobody before: the others help with one image, and share several. */
static double idle(const struct state *s, unsigned steps)
{
    struct commitment with[ALL] = {0};
    double one = s->ask.alone_fixed + steps * s->ask.alone_each_step;
    if (s->ask.images == 1)
        return one;
    struct state alone = *s;
    alone.n = 0;
    size_t place = insert(&alone, s->ask.fixed + steps * s->ask.each_step, with);
    return fmin(finish(with, place, s->limits.workers), s->ask.images * one);
}

static bool fits(const struct state *s, unsigned steps)
{
    struct commitment with[ALL] = {0};
    size_t images = s->ask.images;
    size_t place = insert(s, s->ask.fixed + steps * s->ask.each_step, with);
    if (s->n == 0)
        return s->ask.deadline == ADMISSION_NEVER ||
               idle(s, steps) * margin <= until(s->ask.deadline);
    bool all = is_promised(s, with, place);
    for (size_t i = place + 1; all && i < s->n + images; i++)
        all = is_promised(s, with, i) || !is_possible(s, s->before, i - images);
    return all;
}

static unsigned most_steps(const struct state *s)
{
    unsigned steps = s->ask.steps;
    while (steps >= s->ask.min_steps && !fits(s, steps))
        steps--;
    return steps < s->ask.min_steps ? 0 : steps;
}

static double wait_of(const struct state *s)
{
    double before = 0.0;
    for (size_t i = 0; i < s->n && s->before[i].due <= s->ask.due; i++)
        before += s->before[i].seconds;
    return before / (double)s->limits.workers;
}

static enum admission_outcome outcome_of(const struct state *s, unsigned steps)
{
    double fastest = idle(s, s->ask.min_steps);
    if (s->ask.deadline != ADMISSION_NEVER && fastest * margin > until(s->ask.deadline))
        return ADMISSION_IMPOSSIBLE;
    if (wait_of(s) > s->limits.max_wait)
        return ADMISSION_WAIT;
    return steps == 0 ? ADMISSION_LATE : ADMISSION_YES;
}

static void test_random_states(void)
{
    struct draw draw = {1};
    int outcomes[4] = {0}, lowered = 0;
    for (int i = 0; i < 40000; i++) {
        const struct state s = draw_state(&draw);
        const struct admission a = decide(&s);
        unsigned steps = most_steps(&s);
        CHECK(a.steps == steps);
        CHECK(a.outcome == outcome_of(&s, steps));
        CHECK(fabs(a.wait - wait_of(&s)) < 1e-9);
        CHECK(a.retry_after >= 0.0 && a.retry_after < 1000.0);
        bool is_later = a.outcome == ADMISSION_WAIT || a.outcome == ADMISSION_LATE;
        CHECK(is_later == (a.retry_after > 0.0));
        if (a.outcome == ADMISSION_YES)
            expect_promises(&s, &a);
        outcomes[a.outcome]++;
        lowered += a.outcome == ADMISSION_YES && a.steps < s.ask.steps;
    }
    (void)fprintf(stderr, "yes %d (%d lowered), wait %d, late %d, impossible %d\n",
                  outcomes[ADMISSION_YES], lowered, outcomes[ADMISSION_WAIT],
                  outcomes[ADMISSION_LATE], outcomes[ADMISSION_IMPOSSIBLE]);
    for (size_t i = 0; i < 4; i++)
        CHECK(outcomes[i] > 400);
    CHECK(lowered > 400);
}

/* --- one by one ------------------------------------------------------------------- */

/* 0.1 s and 0.05 s a step; an idle server is twice as fast. */
static struct state simple(double deadline, unsigned min_steps, unsigned steps)
{
    struct state s = {.limits = {1, 30.0, 0.1}};
    s.ask = (struct admission_ask){.fixed = 0.1,
                                   .each_step = 0.05,
                                   .alone_fixed = 0.05,
                                   .alone_each_step = 0.025,
                                   .steps = steps,
                                   .min_steps = min_steps,
                                   .images = 1,
                                   .due = in(deadline),
                                   .deadline = in(deadline)};
    return s;
}

static void test_idle(void)
{
    struct state s = simple(1.0, 1, 20);
    struct admission a = decide(&s);
    CHECK(a.outcome == ADMISSION_YES && a.steps == 20 && a.wait == 0.0);
    CHECK(fabs(a.finish - 0.55) < 1e-9 && fabs(a.fastest - 0.075) < 1e-9);
    s = simple(0.4, 1, 20); /* 0.4 / 1.15 = 0.348: 0.05 + 11 * 0.025 */
    a = decide(&s);
    CHECK(a.outcome == ADMISSION_YES && a.steps == 11);
    s = simple(0.4, 12, 20);
    a = decide(&s);
    CHECK(a.outcome == ADMISSION_IMPOSSIBLE && a.steps == 0 && a.retry_after == 0.0);
    CHECK(fabs(a.fastest - 0.35) < 1e-9);
    s = simple(0.0, 1, 20); /* it has passed already */
    CHECK(decide(&s).outcome == ADMISSION_IMPOSSIBLE);
}

/* Who cannot be in time behind the others may be an idle server's: 429, not 422, and
 * when he comes back as told, with nobody new before him, he is let in. */
static void test_late(void)
{
    struct state s = simple(1.0, 10, 20);
    s.before[0] = (struct commitment){in(0.9), ADMISSION_NEVER, 3.0};
    s.n = 1;
    struct admission a = decide(&s);
    CHECK(a.outcome == ADMISSION_LATE && a.steps == 0 && a.wait == 3.0);
    CHECK(a.retry_after > 2.0 && a.retry_after < 4.0);
    s.before[0].seconds -= a.retry_after;
    if (s.before[0].seconds <= 0.0)
        s.n = 0;
    CHECK(decide(&s).outcome == ADMISSION_YES);
}

static void test_wait_limit(void)
{
    struct state s = simple(100.0, 5, 5);
    s.ask.deadline = ADMISSION_NEVER;
    s.before[0] = (struct commitment){in(100.0), ADMISSION_NEVER, 30.0};
    s.n = 1;
    struct admission a = decide(&s);
    CHECK(a.outcome == ADMISSION_YES && a.wait == 30.0 && a.steps == 5);
    s.before[0].seconds = 30.5;
    a = decide(&s);
    CHECK(a.outcome == ADMISSION_WAIT && fabs(a.retry_after - 0.5) < 1e-9);
    s.limits.workers = 2;
    CHECK(decide(&s).outcome == ADMISSION_YES);
    s.limits.workers = 1;
    s.before[0].due = in(101.0); /* it waits for the newcomer, and not the reverse */
    a = decide(&s);
    CHECK(a.outcome == ADMISSION_YES && a.wait == 0.0);
    s.limits.max_wait = 0.0;
    CHECK(decide(&s).outcome == ADMISSION_YES);
    s.before[0].due = in(99.0);
    CHECK(decide(&s).outcome == ADMISSION_WAIT);
}

/* The newcomer is due first and would be in time; who came before would not be. */
static void test_spare_work(void)
{
    struct state s = simple(2.0, 1, 20);
    s.before[0] = (struct commitment){in(5.0), in(5.0), 4.0};
    s.n = 1; /* 4.9 / 1.15 - 4 = 0.26: 3 steps fit before it */
    struct admission a = decide(&s);
    CHECK(a.outcome == ADMISSION_YES && a.steps == 3);
    s.ask.min_steps = 4;
    a = decide(&s);
    CHECK(a.outcome == ADMISSION_LATE && a.retry_after > 0.0);
    /* Its reserve is used up, but it can be in time: nobody comes before it. */
    s.ask.min_steps = 1;
    s.before[0].seconds = 4.5;
    CHECK(decide(&s).outcome == ADMISSION_LATE);
    /* It cannot be in time any more: it stands in nobody's way. */
    s.before[0].seconds = 5.5;
    a = decide(&s);
    CHECK(a.outcome == ADMISSION_YES && a.steps == 20);
    /* Without a deadline it only waits. */
    s.before[0] = (struct commitment){in(5.0), ADMISSION_NEVER, 4.9};
    CHECK(decide(&s).steps == 20);
}

/* Two workers do not make one request's work twice as fast. */
static void test_workers_share(void)
{
    struct state s = simple(2.0, 20, 20);
    s.limits = (struct admission_limits){2, 30.0, 0.0};
    s.before[0] = (struct commitment){in(2.5), ADMISSION_NEVER, 2.0};
    s.before[1] = (struct commitment){in(5.0), in(5.0), 3.2};
    s.n = 2; /* (1.1 + 2) / 2 + 3.2 > 5 / 1.15 */
    CHECK(decide(&s).outcome == ADMISSION_LATE);
    s.before[1].seconds = 2.7;
    CHECK(decide(&s).outcome == ADMISSION_YES);
}

int main(void)
{
    test_idle();
    test_late();
    test_wait_limit();
    test_spare_work();
    test_workers_share();
    test_random_states();
    return 0;
}
