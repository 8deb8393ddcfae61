#include "server/verdict.h"

/* Beyond what is predicted: at least a tenth of a second, and a quarter at random. */
static double retry_after(const struct admission *admission, uint32_t random)
{
    static const double least = 0.1, spread = 0.25;
    double seconds = admission->retry_after > least ? admission->retry_after : least;
    return seconds * (1.0 + spread * (double)random / UINT32_MAX);
}

void verdict_refuse(struct job *job,
                    enum refusal refusal,
                    const struct admission *admission,
                    uint32_t random)
{
    static const struct {
        enum problem_kind kind;
        const char *field, *detail;
    } texts[REFUSAL_NONE] = {
        [REFUSAL_WAIT] = {PROBLEM_OVERLOADED, NULL,
                          "a request would wait longer than the server allows"},
        [REFUSAL_MEMORY] = {PROBLEM_OVERLOADED, NULL,
                            "the requests under way take all memory that is for them"},
        [REFUSAL_COUNT] = {PROBLEM_OVERLOADED, NULL,
                           "as many requests run and wait as the server allows"},
        [REFUSAL_DEADLINE] = {PROBLEM_OVERLOADED, "deadline_ms",
                              "the deadline cannot be kept beside the requests that came "
                              "before"},
        [REFUSAL_IMPOSSIBLE] = {PROBLEM_INVALID, "deadline_ms",
                                "the deadline cannot be kept, not even by an idle "
                                "server with the fewest steps that are allowed"},
        [REFUSAL_RATE] = {PROBLEM_OVERLOADED, NULL, "the key's rate is used up"},
        [REFUSAL_SIZE] = {PROBLEM_INVALID, "n",
                          "the images of one request are more than the server has places "
                          "or memory for; expected fewer or smaller ones"},
    };
    const char *field = texts[refusal].field, *detail = texts[refusal].detail;
    if (refusal == REFUSAL_DEADLINE && job->deadline == 0) {
        field = NULL;
        detail = "deadlines that were promised to others leave no room for it now";
    }
    (void)problem_set(&job->problem, texts[refusal].kind, field, "%s", detail);
    job->problem.fastest = admission->fastest;
    if (texts[refusal].kind != PROBLEM_OVERLOADED)
        return;
    job->problem.wait = admission->wait;
    job->problem.retry_after = retry_after(admission, random);
}

static bool is_late(const struct job *job, uint64_t now)
{
    return job->deadline != 0 && now >= job->deadline;
}

bool verdict_is_unwanted(const struct job *job, bool is_canceling, uint64_t now)
{
    bool has_left = atomic_load(&job->abandoned) || atomic_load(&job->dropped);
    return is_canceling || is_late(job, now) ||
           (has_left && list_is_empty(&job->followers));
}

bool verdict_end(struct job *job, bool is_canceling, uint64_t now)
{
    if (!verdict_is_unwanted(job, is_canceling, now))
        return false;
    if (atomic_load(&job->abandoned)) {
        (void)problem_set(&job->problem, PROBLEM_CLIENT_GONE, NULL,
                          "the client closed its connection");
    } else if (atomic_load(&job->dropped)) {
        (void)problem_set(&job->problem, PROBLEM_INTERNAL, NULL,
                          "another image of the same request was not made");
    } else if (is_late(job, now)) {
        (void)problem_set(&job->problem, PROBLEM_DEADLINE, "deadline_ms",
                          "%lu ms have passed; %u of %u steps were done",
                          (unsigned long)job->request.deadline_milliseconds,
                          job->facts.steps, job->request.sampling.steps);
    } else {
        (void)problem_set(&job->problem, PROBLEM_UNAVAILABLE, NULL,
                          "the server is shutting down; try another replica");
        job->problem.retry_after = 1.0;
    }
    return true;
}
