/*
 * engine_seats - the workers' seats: each has scratch memory, and either leads a round,
 * helps with another's, or is free.
 *
 * Whoever has nothing of his own to do helps with the round that has the fewest helpers,
 * until that round's work is done or he is called away because something else is ready.
 *
 * Threads: the engine's, but for what runs on libuv's pool. Ownership: the engine's.
 */
#ifndef SLUICE_SERVER_ENGINE_SEATS_H
#define SLUICE_SERVER_ENGINE_SEATS_H

#include "base/err.h"
#include "server/round.h"

#include <uv.h>

#include <stdbool.h>
#include <stddef.h>

struct seats;

enum seat_state { SEAT_FREE, SEAT_LEADING, SEAT_HELPING };

struct seat {
    struct seats *seats;
    struct arena scratch;
    size_t need;        /* bytes of scratch that the work at hand may take */
    bool lacks_scratch; /* there was no memory for it when it should help */
    enum seat_state state;
    struct round round;  /* while leading */
    size_t helpers;      /* of that round, that have not ended; they stay for the next */
    bool is_held;        /* until those have ended: it must lead nothing before */
    struct seat *leader; /* while helping */
    atomic_bool leave;   /* calls a helper away */
    uv_work_t work;
};

struct seats {
    size_t n;
    struct seat *list;
    int niceness;   /* of the workers' threads */
    size_t scratch; /* bytes that each needs for the work that begins now */
    uv_loop_t *loop;

    /* On the loop's thread: a seat is free again; round is what it led, or NULL when it
     * helped. */
    void (*ended)(void *context, struct round *round);
    void *context;
};

/* n seats with so many bytes of scratch each. The other members are the caller's to set
 * before the first round. seats_finish accepts half-built ones. */
enum err_code seats_init(struct seats *seats, size_t n, size_t scratch, struct err *err);
void seats_finish(struct seats *seats);

/* Rounds that begin from now on may take so much scratch. Helpers that have less are
 * called away, and nothing begins that they could come into. */
void seats_require(struct seats *seats, size_t scratch);

/* Those that can lead a round at once, and those that do something. */
size_t seats_count_free(const struct seats *seats);
size_t seats_count_busy(const struct seats *seats);

/* A seat that can lead a round, which the caller fills in before seats_lead; NULL when
 * there is none. */
struct seat *seats_find_free(struct seats *seats);
void seats_lead(struct seat *seat);

void seats_send_helpers(struct seats *seats);
void seats_call_helpers_away(struct seats *seats);

#endif
