#include "model/team.h"

#include "base/clock.h"

#include <sched.h>

enum { PATIENCE = 256 }; /* looks before the processor is offered to others */

/* A leader's next call follows the last one in less: to put a helper to sleep and to wake
 * it again would take as long. */
static const uint64_t LINGER_NANOSECONDS = 500 * 1000;

void team_init(struct team *team)
{
    atomic_init(&team->open, false);
    atomic_init(&team->ticket, 0);
    atomic_init(&team->left, 0);
    team->unit = NULL;
    team->context = NULL;
}

void team_open(struct team *team)
{
    atomic_store_explicit(&team->open, true, memory_order_release);
}

void team_close(struct team *team)
{
    atomic_store_explicit(&team->open, false, memory_order_release);
}

bool team_is_open(const struct team *team)
{
    return atomic_load_explicit(&team->open, memory_order_acquire);
}

static bool has_unit(uint64_t ticket)
{
    return (uint32_t)ticket < (uint32_t)(ticket >> 32);
}

/* Takes and does one unit; false when there is none. The ticket that fetch_add returns
 * decides, whatever was seen before it: it may already be of the next share. */
static bool take_unit(struct team *team, struct arena *scratch)
{
    if (!has_unit(atomic_load_explicit(&team->ticket, memory_order_relaxed)))
        return false;
    uint64_t ticket = atomic_fetch_add_explicit(&team->ticket, 1, memory_order_acquire);
    if (!has_unit(ticket))
        return false;
    team->unit(team->context, (uint32_t)ticket, scratch);
    (void)atomic_fetch_sub_explicit(&team->left, 1, memory_order_release);
    return true;
}

void team_share(struct team *team,
                size_t units,
                team_unit *unit,
                void *context,
                struct arena *scratch)
{
    if (team == NULL || units == 1) {
        for (size_t i = 0; i < units; i++)
            unit(context, i, scratch);
        return;
    }
    team->unit = unit;
    team->context = context;
    atomic_store_explicit(&team->left, units, memory_order_relaxed);
    atomic_store_explicit(&team->ticket, (uint64_t)units << 32, memory_order_release);
    while (take_unit(team, scratch))
        continue;
    for (size_t looks = 1; atomic_load_explicit(&team->left, memory_order_acquire) > 0;
         looks++) {
        if (looks % PATIENCE == 0)
            (void)sched_yield();
    }
}

void team_help(struct team *team, const atomic_bool *leave, struct arena *scratch)
{
    uint64_t closed = 0; /* since when */
    for (size_t looks = 1; !atomic_load_explicit(leave, memory_order_relaxed); looks++) {
        if (take_unit(team, scratch) || looks % PATIENCE != 0)
            continue;
        (void)sched_yield();
        if (team_is_open(team))
            closed = 0;
        else if (closed == 0)
            closed = clock_now();
        else if (clock_now() - closed > LINGER_NANOSECONDS)
            return;
    }
}
