#include "server/admission.h"

#include <math.h>
#include <stdbool.h>

/* Predictions are medians, so to speak: a deadline is promised with this much to spare.
 */
static const double margin = 1.15;

static double seconds_until(uint64_t instant, uint64_t now)
{
    return instant > now ? (double)(instant - now) / 1e9 : 0.0;
}

/* Worker-seconds that are due no later than this. */
static double work_before(const struct commitment *before, size_t n, uint64_t due)
{
    double seconds = 0.0;
    for (size_t i = 0; i < n && before[i].due <= due; i++)
        seconds += before[i].seconds;
    return seconds;
}

/* Worker-seconds of all its images. */
static double work_of(const struct admission_ask *ask, unsigned steps)
{
    return ask->images * (ask->fixed + steps * ask->each_step);
}

/* Seconds until its last image is done when it is begun at once: the workers share the
 * work of the others, and its own is one worker's. */
static double span_of(const struct admission_ask *ask, unsigned steps, double workers)
{
    double one = ask->fixed + steps * ask->each_step;
    return one + (ask->images - 1) * one / workers;
}

/* On an idle server the others help with a lone image; of several each worker has its
 * own, or all help with one after the other. */
static double idle_of(const struct admission_ask *ask, unsigned steps, double workers)
{
    double alone = ask->alone_fixed + steps * ask->alone_each_step;
    return ask->images == 1 ? alone
                            : fmin(span_of(ask, steps, workers), ask->images * alone);
}

static double finish_of(const struct admission_ask *ask,
                        unsigned steps,
                        size_t n,
                        double wait,
                        double workers)
{
    return n == 0 ? idle_of(ask, steps, workers) : wait + span_of(ask, steps, workers);
}

/* The worker-seconds that may be put in front of those who are due later, so that none of
 * them misses a deadline that it would keep otherwise: as for the newcomer, the work
 * before one is shared, and its own is one worker's. Who has used up the margin, but may
 * still be in time, bears nothing more. */
static double spare_work(const struct admission_ask *ask,
                         const struct commitment *before,
                         size_t n,
                         const struct admission_limits *limits,
                         uint64_t now)
{
    double sum = 0.0, spare = 1e18, workers = (double)limits->workers;
    for (size_t i = 0; i < n; sum += before[i++].seconds) {
        if (before[i].due <= ask->due || before[i].deadline == ADMISSION_NEVER)
            continue;
        double time = seconds_until(before[i].deadline, now), own = before[i].seconds;
        double left = ((time - limits->slack) / margin - own) * workers - sum;
        bool is_lost = sum / workers + own > time;
        if (!is_lost && left < spare)
            spare = left > 0.0 ? left : 0.0;
    }
    return spare;
}

static bool keeps_deadline(const struct admission_ask *ask,
                           double seconds,
                           double slack,
                           uint64_t now)
{
    return ask->deadline == ADMISSION_NEVER ||
           seconds * margin + slack <= seconds_until(ask->deadline, now);
}

/* The most steps from min_steps to steps whose work fits before the ask's deadline and
 * into the spare work; 0 when not even min_steps do. Both grow with the steps. */
static unsigned most_steps(const struct admission_ask *ask,
                           size_t n,
                           double wait,
                           double spare,
                           const struct admission_limits *limits,
                           uint64_t now)
{
    double workers = (double)limits->workers, slack = n == 0 ? 0.0 : limits->slack;
    unsigned low = ask->min_steps - 1, high = ask->steps;
    while (low < high) {
        unsigned middle = low + (high - low + 1) / 2;
        double finish = finish_of(ask, middle, n, wait, workers);
        if (work_of(ask, middle) <= spare && keeps_deadline(ask, finish, slack, now))
            low = middle;
        else
            high = middle - 1;
    }
    return low < ask->min_steps ? 0 : low;
}

struct admission admission_decide(const struct admission_ask *ask,
                                  const struct commitment *before,
                                  size_t n,
                                  const struct admission_limits *limits,
                                  uint64_t now)
{
    double workers = (double)limits->workers;
    double wait = work_before(before, n, ask->due) / workers;
    double slack = n == 0 ? 0.0 : limits->slack;
    struct admission decision = {
        .wait = wait,
        .fastest = idle_of(ask, ask->min_steps, workers),
    };
    double spare = spare_work(ask, before, n, limits, now);
    decision.steps = most_steps(ask, n, wait, spare, limits, now);
    unsigned steps = decision.steps > 0 ? decision.steps : ask->min_steps;
    decision.finish = finish_of(ask, steps, n, wait, workers);
    if (!keeps_deadline(ask, decision.fastest, 0.0, now)) {
        decision.outcome = ADMISSION_IMPOSSIBLE;
    } else if (wait > limits->max_wait) {
        decision.outcome = ADMISSION_WAIT;
        decision.retry_after = wait - limits->max_wait;
    } else if (decision.steps == 0) {
        double late =
            decision.finish * margin + slack - seconds_until(ask->deadline, now);
        decision.outcome = ADMISSION_LATE;
        decision.retry_after = late > 0.0 ? late : decision.finish;
    }
    return decision;
}
