/* Who is refused or ended, and what its client is told. */
#include "server/verdict.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

static const struct admission late = {
    .outcome = ADMISSION_LATE, .wait = 3.0, .fastest = 0.25, .retry_after = 8.0};

static void expect(const struct job *job, enum problem_kind kind, const char *field)
{
    CHECK(job->problem.kind == kind);
    CHECK(strcmp(job->problem.field, field) == 0);
    CHECK(job->problem.detail[0] != '\0');
}

static void test_refusals(void)
{
    static const struct {
        enum refusal refusal;
        enum problem_kind kind;
        const char *field;
    } rows[] = {
        {REFUSAL_WAIT, PROBLEM_OVERLOADED, ""},
        {REFUSAL_MEMORY, PROBLEM_OVERLOADED, ""},
        {REFUSAL_COUNT, PROBLEM_OVERLOADED, ""},
        {REFUSAL_DEADLINE, PROBLEM_OVERLOADED, "deadline_ms"},
        {REFUSAL_IMPOSSIBLE, PROBLEM_INVALID, "deadline_ms"},
        {REFUSAL_RATE, PROBLEM_OVERLOADED, ""},
        {REFUSAL_SIZE, PROBLEM_INVALID, "n"},
    };
    char texts[REFUSAL_NONE][sizeof(((struct problem *)0)->detail)];
    CHECK(sizeof(rows) / sizeof(rows[0]) == REFUSAL_NONE);
    for (size_t i = 0; i < REFUSAL_NONE; i++) {
        struct job job = {.deadline = 1};
        list_init(&job.followers);
        verdict_refuse(&job, rows[i].refusal, &late, 0);
        expect(&job, rows[i].kind, rows[i].field);
        CHECK(job.problem.fastest == 0.25);
        bool is_later = rows[i].kind == PROBLEM_OVERLOADED;
        CHECK(job.problem.wait == (is_later ? 3.0 : 0.0));
        CHECK(job.problem.retry_after == (is_later ? 8.0 : 0.0));
        (void)snprintf(texts[i], sizeof(texts[i]), "%s", job.problem.detail);
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(texts[k], texts[i]) != 0);
    }
    /* Nothing is said of a deadline that was not asked for. */
    struct job patient = {0};
    verdict_refuse(&patient, REFUSAL_DEADLINE, &late, 0);
    expect(&patient, PROBLEM_OVERLOADED, "");
    CHECK(strstr(patient.problem.detail, "others") != NULL);
}

/* A quarter at random on top, and never nothing. */
static void test_retry_after(void)
{
    static const struct admission full = {.wait = 1.0};
    struct job job = {0};
    list_init(&job.followers);
    double before = 8.0;
    for (uint32_t random = 1u << 30; random != 0; random += 1u << 30) {
        verdict_refuse(&job, REFUSAL_WAIT, &late, random);
        CHECK(job.problem.retry_after > before && job.problem.retry_after < 10.0);
        before = job.problem.retry_after;
    }
    verdict_refuse(&job, REFUSAL_WAIT, &late, UINT32_MAX);
    CHECK(fabs(job.problem.retry_after - 10.0) < 1e-9);
    verdict_refuse(&job, REFUSAL_COUNT, &full, 0);
    CHECK(fabs(job.problem.retry_after - 0.1) < 1e-9);
    CHECK(problem_retry_seconds(&job.problem) == 1);
}

static void test_ends(void)
{
    struct job job = {.deadline = 500,
                      .request.deadline_milliseconds = 70,
                      .request.sampling.steps = 8,
                      .facts.steps = 3};
    list_init(&job.followers);
    CHECK(!verdict_is_unwanted(&job, false, 499) && !verdict_end(&job, false, 499));
    CHECK(job.problem.kind == PROBLEM_NONE);
    CHECK(verdict_is_unwanted(&job, false, 500) && verdict_end(&job, false, 500));
    expect(&job, PROBLEM_DEADLINE, "deadline_ms");
    CHECK(strstr(job.problem.detail, "70 ms") != NULL);
    CHECK(strstr(job.problem.detail, "3 of 8 steps") != NULL);
    CHECK(job.problem.retry_after == 0.0);

    CHECK(verdict_is_unwanted(&job, true, 0) && verdict_end(&job, true, 0));
    expect(&job, PROBLEM_UNAVAILABLE, "");
    CHECK(job.problem.retry_after == 1.0);

    /* Whoever has left is told nothing, whatever else is the case. */
    atomic_store(&job.abandoned, true);
    CHECK(verdict_is_unwanted(&job, false, 0) && verdict_end(&job, true, 600));
    expect(&job, PROBLEM_CLIENT_GONE, "");

    /* Nor who waits for another image of the same request. */
    atomic_store(&job.abandoned, false);
    atomic_store(&job.dropped, true);
    CHECK(verdict_is_unwanted(&job, false, 0) && verdict_end(&job, false, 0));
    expect(&job, PROBLEM_INTERNAL, "");

    struct job patient = {0};
    CHECK(!verdict_end(&patient, false, UINT64_MAX));
    CHECK(patient.problem.kind == PROBLEM_NONE);
}

int main(void)
{
    test_refusals();
    test_retry_after();
    test_ends();
    return 0;
}
