/* Who waits and who runs, in which order, and what is told of them. */
#include "server/roster.h"
#include "server/round.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <math.h>

enum { MOST = 40 };

static struct job jobs[MOST];

static void start(struct roster *roster)
{
    struct err err;
    CHECK_OK(roster_init(roster, MOST, &err), err);
    for (size_t i = 0; i < MOST; i++)
        jobs[i] = (struct job){.first = &jobs[i], .memory = i + 1};
}

static struct job *enter(struct roster *roster, size_t i, uint64_t due)
{
    jobs[i].due = due;
    jobs[i].seconds_left = 0.5;
    roster_enter(roster, &jobs[i]);
    return &jobs[i];
}

static void run(struct roster *roster, struct job *job, enum job_state state)
{
    roster_start(roster, job);
    job->state = state;
}

static void test_empty(void)
{
    struct roster roster;
    start(&roster);
    CHECK(roster_first_queued(&roster) == NULL && roster_first_running(&roster) == NULL);
    CHECK(roster_commitments(&roster, NULL) == 0 && roster_seconds_left(&roster) == 0.0);
    CHECK(roster_next_deadline(&roster, 5) == ADMISSION_NEVER);
    CHECK(!roster_is_urgent(&roster, &jobs[0]));
    roster_sort(&roster);
    roster_finish(&roster);
    roster_finish(&roster);
}

/* Who waits is taken in order of due, and who came first of those that are due at once.
 */
static void test_order(void)
{
    static const uint64_t dues[] = {50, 20, 50, 10, 90, 20};
    static const size_t order[] = {3, 1, 5, 0, 2, 4};
    struct roster roster;
    start(&roster);
    for (size_t i = 0; i < 6; i++)
        (void)enter(&roster, i, dues[i]);
    CHECK(roster.n_queued == 6 && roster.memory == 21);
    for (size_t i = 0; i < 6; i++) {
        struct job *job = roster_first_queued(&roster);
        CHECK(job == &jobs[order[i]]);
        run(&roster, job, JOB_ENCODING);
    }
    CHECK(roster.n_queued == 0 && roster.n_running == 6 && roster.memory == 21);
    const struct job *job = roster_first_running(&roster);
    for (size_t i = 0; i < 6; i++, job = roster_next_running(&roster, job))
        CHECK(job == &jobs[order[i]]);
    CHECK(job == NULL);
    roster_finish(&roster);
}

/* What is due may change while they wait. */
static void test_sort(void)
{
    struct roster roster;
    start(&roster);
    struct draw draw = {2};
    for (size_t i = 0; i < MOST; i++)
        (void)enter(&roster, i, 100);
    for (size_t i = 0; i < MOST; i++)
        jobs[i].due = draw_below(&draw, 12);
    roster_sort(&roster);
    CHECK(roster.n_queued == MOST);
    const struct job *before = NULL;
    for (size_t i = 0; i < MOST; i++) {
        struct job *job = roster_first_queued(&roster);
        CHECK(before == NULL || before->due < job->due ||
              (before->due == job->due && before < job));
        before = job;
        run(&roster, job, JOB_STEPPING);
    }
    CHECK(roster_first_queued(&roster) == NULL);
    roster_finish(&roster);
}

static void count_and_leave(struct job *job, void *context)
{
    struct roster *roster = context;
    CHECK(jobs[0].request.n == 0 || job != &jobs[0]); /* each once */
    job->request.n++;
    if (job->memory % 2 == 0)
        roster_leave(roster, job);
}

static void test_visit(void)
{
    struct roster roster;
    start(&roster);
    for (size_t i = 0; i < 20; i++)
        (void)enter(&roster, i, 20 - i);
    for (size_t i = 0; i < 9; i++)
        run(&roster, roster_first_queued(&roster), JOB_STEPPING);
    roster_visit(&roster, count_and_leave, &roster);
    for (size_t i = 0; i < 20; i++)
        CHECK(jobs[i].request.n == 1);
    /* Those that ran had 20 down to 12 bytes: 4 of 9 have an odd number. */
    CHECK(roster.n_running == 4 && roster.n_queued == 6 && roster.memory == 100);
    for (size_t i = 0; i < 20; i += 2)
        roster_leave(&roster, &jobs[i]);
    CHECK(roster.n_running == 0 && roster.n_queued == 0 && roster.memory == 0);
    CHECK(roster_first_queued(&roster) == NULL && roster_first_running(&roster) == NULL);
    roster_finish(&roster);
}

static void test_commitments(void)
{
    struct roster roster;
    start(&roster);
    for (size_t i = 0; i < 5; i++)
        (void)enter(&roster, i, 100 - 10 * i);
    run(&roster, roster_first_queued(&roster), JOB_STEPPING);
    run(&roster, &jobs[0], JOB_STEPPING);
    jobs[0].seconds_left = 2.0;
    jobs[4].deadline = 60;
    CHECK(roster_commitments(&roster, NULL) == 5);
    for (size_t i = 0; i < 5; i++)
        CHECK(roster.commitments[i].due == 60 + 10 * i);
    CHECK(roster.commitments[0].deadline == 60);
    CHECK(roster.commitments[1].deadline == ADMISSION_NEVER);
    CHECK(roster.commitments[4].seconds == 2.0 && roster.commitments[3].seconds == 0.5);
    CHECK(roster_seconds_left(&roster) == 4.0);
    CHECK(roster_commitments(&roster, &jobs[2]) == 4);
    for (size_t i = 0; i < 4; i++)
        CHECK(roster.commitments[i].due != jobs[2].due);
    roster_finish(&roster);
}

/* A place more for who is due much earlier than somebody that has steps to do. */
static void test_urgent(void)
{
    const uint64_t second = UINT64_C(1000000000);
    struct roster roster;
    start(&roster);
    struct job *job = enter(&roster, 0, 10 * second);
    struct job *other = enter(&roster, 1, 12 * second);
    CHECK(!roster_is_urgent(&roster, job)); /* nobody runs */
    run(&roster, other, JOB_STEPPING);
    CHECK(!roster_is_urgent(&roster, job)); /* 10 s + 4 * 0.5 s: no later than 12 s */
    other->due++;
    CHECK(roster_is_urgent(&roster, job));
    job->seconds_left = 0.6;
    CHECK(!roster_is_urgent(&roster, job));
    other->due = 100 * second;
    CHECK(roster_is_urgent(&roster, job));
    other->state = JOB_DECODING; /* it is nearly gone */
    CHECK(!roster_is_urgent(&roster, job));
    run(&roster, enter(&roster, 2, 90 * second), JOB_ENCODING);
    CHECK(roster_is_urgent(&roster, job));
    roster_finish(&roster);
}

/* The same image is found while it is being made, unless that was told to stop. */
static void test_find(void)
{
    static struct round round;
    struct roster roster;
    start(&roster);
    struct job wanted = {.tag = "b"};
    for (size_t i = 0; i < 3; i++) {
        jobs[i].tag[0] = (char)('a' + i);
        (void)enter(&roster, i, i);
    }
    CHECK(roster_find(&roster, &wanted) == &jobs[1]);
    run(&roster, &jobs[1], JOB_STEPPING);
    jobs[1].round = &round;
    CHECK(roster_find(&roster, &wanted) == &jobs[1]);
    atomic_store(&round.stop, true);
    CHECK(roster_find(&roster, &wanted) == NULL);
    wanted.tag[0] = '\0'; /* no other's */
    CHECK(roster_find(&roster, &wanted) == NULL);
    roster_finish(&roster);
}

static void test_next_end(void)
{
    struct roster roster;
    start(&roster);
    CHECK(roster_next_end(&roster) == 0.0);
    for (size_t i = 0; i < 3; i++)
        (void)enter(&roster, i, i);
    jobs[0].seconds_left = 3.0;
    jobs[1].seconds_left = 2.0;
    jobs[2].seconds_left = 1.0;
    CHECK(roster_next_end(&roster) == 3.0); /* nobody runs: the first will */
    run(&roster, &jobs[0], JOB_STEPPING);
    run(&roster, &jobs[1], JOB_STEPPING);
    CHECK(roster_next_end(&roster) == 2.0);
    roster_finish(&roster);
}

static void test_next_deadline(void)
{
    static struct round round;
    struct roster roster;
    start(&roster);
    for (size_t i = 0; i < 4; i++)
        jobs[i].deadline = i == 0 ? 0 : 100 * i;
    for (size_t i = 0; i < 4; i++)
        (void)enter(&roster, i, i);
    run(&roster, &jobs[0], JOB_STEPPING);
    run(&roster, &jobs[1], JOB_STEPPING);
    jobs[0].round = jobs[1].round = &round;
    CHECK(roster_next_deadline(&roster, 50) == 100);
    /* It has passed; the other one needs the round, so there is nothing to do about it.
     */
    CHECK(roster_next_deadline(&roster, 100) == 200);
    /* Outside a round it is still to be ended. */
    jobs[1].round = NULL;
    CHECK(roster_next_deadline(&roster, 150) == 100);
    jobs[1].round = &round;
    atomic_store(&round.stop, true);
    CHECK(roster_next_deadline(&roster, 50) == 200);
    roster_leave(&roster, &jobs[2]);
    CHECK(roster_next_deadline(&roster, 50) == 300);
    CHECK(roster_next_deadline(&roster, 1000) == 300);
    roster_leave(&roster, &jobs[3]);
    CHECK(roster_next_deadline(&roster, 50) == ADMISSION_NEVER);
    roster_finish(&roster);
}

int main(void)
{
    test_empty();
    test_order();
    test_sort();
    test_visit();
    test_commitments();
    test_urgent();
    test_find();
    test_next_end();
    test_next_deadline();
    return 0;
}
