#include "server/engine_seats.h"

#include <stdlib.h>

enum err_code seats_init(struct seats *seats, size_t n, size_t scratch, struct err *err)
{
    seats->list = calloc(n, sizeof(*seats->list));
    if (seats->list == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %zu workers", n);
    seats->n = n;
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

static void work_begins(uv_work_t *work)
{
    struct seat *seat = work->data;
    if (seat->state == SEAT_HELPING)
        team_help(&seat->leader->round.team, &seat->leave, &seat->scratch);
    else
        round_execute(&seat->round, seat->seats->setting, &seat->scratch);
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

void seats_lead(struct seat *seat, bool is_canceling)
{
    seat->state = SEAT_LEADING;
    seat->round.err = (struct err){0};
    atomic_store(&seat->round.stop, is_canceling);
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
        leader->helpers++;
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

void seats_stop_rounds(struct seats *seats)
{
    for (size_t i = 0; i < seats->n; i++)
        atomic_store(&seats->list[i].round.stop, true);
}
