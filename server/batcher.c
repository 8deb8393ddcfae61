#include "server/batcher.h"

#include "base/size.h"

/* The first step whose deadline does not bear that it waits for another round; n without
 * any. */
static size_t find_pressed(const struct batcher_ready *ready, size_t n)
{
    static const double bearable = 2.0;
    size_t i = 0;
    while (i < n && (ready[i].work != BATCHER_STEP || ready[i].pace <= 0.0 ||
                     ready[i].pace >= bearable * ready[i].seconds))
        i++;
    return i;
}

/* One round a request, for as many as there are free workers; who is due after a pressed
 * step leaves a worker to it. */
static size_t plan_single(const struct batcher_ready *ready,
                          size_t n,
                          enum batcher_work work,
                          size_t first_round,
                          size_t free_workers,
                          int *rounds)
{
    size_t round = first_round, pressed = find_pressed(ready, n);
    for (size_t i = 0; i < n && round + (i > pressed) < free_workers; i++) {
        if (ready[i].work == work)
            rounds[i] = (int)round++;
    }
    return round;
}

static size_t
count_waiting_steps(const struct batcher_ready *ready, size_t n, const int *rounds)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ready[i].work == BATCHER_STEP && rounds[i] == BATCHER_WAIT;
    return count;
}

/* What a round holds so far. */
struct filling {
    const void *model;
    size_t jobs, items, tokens;
    double seconds;
    double longest; /* that the round may take: the least pace of those in it */
};

static bool
fits(const struct filling *round, const struct batcher_ready *ready, double seconds)
{
    double pace = ready->pace > 0.0 ? ready->pace : seconds;
    bool is_bearable = seconds <= round->longest && seconds <= pace;
    return ready->model == round->model && is_bearable;
}

/* The first takes a round whatever it needs; others join within the limits. */
static bool join(struct filling *round,
                 const struct batcher_ready *ready,
                 const struct batcher_limits *limits)
{
    double seconds = round->seconds + ready->seconds;
    bool is_within = round->items + ready->items <= limits->items &&
                     round->tokens + ready->tokens <= limits->tokens;
    if (round->jobs == 0) {
        round->model = ready->model;
        round->longest = limits->seconds > 0.0 ? limits->seconds : seconds * 1e9;
    } else if (!is_within || !fits(round, ready, seconds)) {
        return false;
    }
    if (ready->pace > 0.0 && ready->pace < round->longest)
        round->longest = ready->pace;
    round->jobs++;
    round->items += ready->items;
    round->tokens += ready->tokens;
    round->seconds = seconds;
    return true;
}

/* Fills one round with up to `share` of the steps that wait. */
static void fill_round(const struct batcher_ready *ready,
                       size_t n,
                       const struct batcher_limits *limits,
                       size_t share,
                       size_t number,
                       int *rounds)
{
    struct filling round = {0};
    size_t most = size_min(share, limits->jobs);
    for (size_t i = 0; i < n && round.jobs < most; i++) {
        if (ready[i].work == BATCHER_STEP && rounds[i] == BATCHER_WAIT &&
            join(&round, &ready[i], limits))
            rounds[i] = (int)number;
    }
}

size_t batcher_plan(const struct batcher_ready *ready,
                    size_t n,
                    size_t free_workers,
                    const struct batcher_limits *limits,
                    int *rounds)
{
    for (size_t i = 0; i < n; i++)
        rounds[i] = BATCHER_WAIT;
    size_t round = plan_single(ready, n, BATCHER_DECODE, 0, free_workers, rounds);
    round = plan_single(ready, n, BATCHER_ENCODE, round, free_workers, rounds);
    for (; round < free_workers; round++) {
        size_t waiting = count_waiting_steps(ready, n, rounds);
        if (waiting == 0)
            break;
        size_t workers = free_workers - round;
        fill_round(ready, n, limits, (waiting + workers - 1) / workers, round, rounds);
    }
    return round;
}

uint64_t
batcher_due(uint64_t submitted, uint64_t deadline, double seconds, uint64_t max_wait)
{
    static const double stretch = 4.0;
    if (deadline != 0)
        return deadline;
    return submitted + max_wait + (uint64_t)(stretch * seconds * 1e9);
}
