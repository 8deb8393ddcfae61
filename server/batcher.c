#include "server/batcher.h"

#include "base/size.h"

/* One round a request, for as many as there are free workers. */
static size_t plan_single(const struct batcher_ready *ready,
                          size_t n,
                          enum batcher_work work,
                          size_t first_round,
                          size_t free_workers,
                          int *rounds)
{
    size_t round = first_round;
    for (size_t i = 0; i < n && round < free_workers; i++) {
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

/* Fills one round with up to `share` of the steps that wait. */
static void fill_round(const struct batcher_ready *ready,
                       size_t n,
                       const struct batcher_limits *limits,
                       size_t share,
                       size_t round,
                       int *rounds)
{
    size_t jobs = 0, items = 0, tokens = 0, most = size_min(share, limits->jobs);
    for (size_t i = 0; i < n && jobs < most; i++) {
        if (ready[i].work != BATCHER_STEP || rounds[i] != BATCHER_WAIT)
            continue;
        bool fits = items + ready[i].items <= limits->items &&
                    tokens + ready[i].tokens <= limits->tokens;
        if (jobs > 0 && !fits)
            continue;
        rounds[i] = (int)round;
        jobs++;
        items += ready[i].items;
        tokens += ready[i].tokens;
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
