#include "server/engine_seats.h"

#include <stdlib.h>
#include <sys/resource.h>

enum { WORKER_NICENESS = 5 };

enum err_code seats_init(struct seats *seats, size_t n, size_t scratch, struct err *err)
{
    seats->list = calloc(n, sizeof(*seats->list));
    if (seats->list == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %zu workers", n);
    seats->n = n;
    /* Linux has a priority for each thread (setpriority(2), notes): computing gives way
     * to the threads that answer probes and refuse requests. */
    seats->niceness = getpriority(PRIO_PROCESS, 0) + WORKER_NICENESS;
    for (size_t i = 0; i < n; i++) {
        struct seat *seat = &seats->list[i];
        seat->seats = seats;
        seat->work.data = seat;
        team_init(&seat->round.team);
        enum err_code code = arena_init(&seat->scratch, scratch, err);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

void seats_finish(struct seats *seats)
{
    for (size_t i = 0; seats->list != NULL && i < seats->n; i++)
        arena_finish(&seats->list[i].scratch);
    free(seats->list);
    seats->list = NULL;
}

size_t seats_count_free(const struct seats *seats)
{
    size_t n = 0;
    for (size_t i = 0; i < seats->n; i++)
        n += seats->list[i].state == SEAT_FREE;
    return n;
}

struct seat *seats_find_free(struct seats *seats)
{
    for (size_t i = 0; i < seats->n; i++) {
        if (seats->list[i].state == SEAT_FREE)
            return &seats->list[i];
    }
    return NULL;
}

/* A model that came later may need more than the one before. */
static enum err_code provide_scratch(struct seat *seat, struct err *err)
{
    if (seat->scratch.size >= seat->need)
        return ERR_OK;
    arena_finish(&seat->scratch);
    return arena_init(&seat->scratch, seat->need, err);
}

static void help(struct seat *seat)
{
    struct err err;
    if (provide_scratch(seat, &err) == ERR_OK)
        team_help(&seat->leader->round.team, &seat->leave, &seat->scratch);
}

static void lead(struct seat *seat)
{
    struct round *round = &seat->round;
    round->code = provide_scratch(seat, &round->err);
    if (round->code == ERR_OK)
        round_execute(round, &seat->scratch);
    else
        team_close(&round->team);
}

static void work_begins(uv_work_t *work)
{
    struct seat *seat = work->data;
    (void)setpriority(PRIO_PROCESS, 0, seat->seats->niceness);
    if (seat->state == SEAT_HELPING)
        help(seat);
    else
        lead(seat);
}

static void work_ended(uv_work_t *work, int status)
{
    struct seat *seat = work->data;
    struct seats *seats = seat->seats;
    bool has_led = seat->state == SEAT_LEADING;
    (void)status; /* work is never taken back from the pool */
    if (!has_led)
        seat->leader->helpers--;
    seat->state = SEAT_FREE;
    seats->ended(seats->context, has_led ? &seat->round : NULL);
}

void seats_lead(struct seat *seat)
{
    seat->state = SEAT_LEADING;
    seat->need = seat->round.setting->scratch;
    seat->round.err = (struct err){0};
    seat->round.took = 0;
    seat->round.helped = false;
    atomic_store(&seat->round.stop, false);
    team_open(&seat->round.team);
    (void)uv_queue_work(seat->seats->loop, &seat->work, work_begins, work_ended);
}

/* The round under way that has the fewest helpers; NULL when there is none. */
static struct seat *round_to_help(struct seats *seats)
{
    struct seat *best = NULL;
    for (size_t i = 0; i < seats->n; i++) {
        struct seat *seat = &seats->list[i];
        if (seat->state == SEAT_LEADING && team_is_open(&seat->round.team) &&
            (best == NULL || seat->helpers < best->helpers))
            best = seat;
    }
    return best;
}

void seats_send_helpers(struct seats *seats)
{
    for (size_t i = 0; i < seats->n; i++) {
        struct seat *seat = &seats->list[i];
        struct seat *leader = seat->state == SEAT_FREE ? round_to_help(seats) : NULL;
        if (leader == NULL)
            continue;
        seat->state = SEAT_HELPING;
        seat->leader = leader;
        seat->need = leader->need;
        leader->helpers++;
        leader->round.helped = true;
        atomic_store(&seat->leave, false);
        (void)uv_queue_work(seats->loop, &seat->work, work_begins, work_ended);
    }
}

void seats_call_helpers_away(struct seats *seats)
{
    for (size_t i = 0; i < seats->n; i++) {
        if (seats->list[i].state == SEAT_HELPING)
            atomic_store(&seats->list[i].leave, true);
    }
}
