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
    seats->scratch = scratch;
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

void seats_require(struct seats *seats, size_t scratch)
{
    if (scratch <= seats->scratch)
        return;
    seats->scratch = scratch;
    for (size_t i = 0; i < seats->n; i++)
        seats->list[i].is_held = seats->list[i].helpers > 0;
    seats_call_helpers_away(seats);
}

static bool can_lead(const struct seat *seat)
{
    return seat->state == SEAT_FREE && !seat->is_held;
}

size_t seats_count_free(const struct seats *seats)
{
    size_t n = 0;
    for (size_t i = 0; i < seats->n; i++)
        n += can_lead(&seats->list[i]);
    return n;
}

size_t seats_count_busy(const struct seats *seats)
{
    size_t n = 0;
    for (size_t i = 0; i < seats->n; i++)
        n += seats->list[i].state != SEAT_FREE;
    return n;
}

struct seat *seats_find_free(struct seats *seats)
{
    for (size_t i = 0; i < seats->n; i++) {
        if (can_lead(&seats->list[i]))
            return &seats->list[i];
    }
    return NULL;
}

/* A model that came later may need more than the one before. */
static enum err_code provide_scratch(struct seat *seat, struct err *err)
{
    enum err_code code = ERR_OK;
    if (seat->scratch.size < seat->need) {
        arena_finish(&seat->scratch);
        code = arena_init(&seat->scratch, seat->need, err);
    }
    seat->lacks_scratch = code != ERR_OK;
    return code;
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
    if (!has_led && --seat->leader->helpers == 0)
        seat->leader->is_held = false;
    seat->state = SEAT_FREE;
    seats->ended(seats->context, has_led ? &seat->round : NULL);
}

void seats_lead(struct seat *seat)
{
    seat->state = SEAT_LEADING;
    seat->need = seat->seats->scratch;
    seat->round.err = (struct err){0};
    seat->round.took = 0;
    /* Those of the round before stay a while: they help with this one too. */
    seat->round.helped = seat->helpers > 0;
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
        if (seat->state == SEAT_LEADING && !seat->is_held &&
            team_is_open(&seat->round.team) &&
            (best == NULL || seat->helpers < best->helpers))
            best = seat;
    }
    return best;
}

void seats_send_helpers(struct seats *seats)
{
    for (size_t i = 0; i < seats->n; i++) {
        struct seat *seat = &seats->list[i];
        bool can_help = can_lead(seat) && !seat->lacks_scratch;
        struct seat *leader = can_help ? round_to_help(seats) : NULL;
        if (leader == NULL)
            continue;
        seat->state = SEAT_HELPING;
        seat->leader = leader;
        seat->need = seats->scratch;
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
