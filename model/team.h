/*
 * team - several threads that share the work of one call: its leader, who cuts the work
 * into units, and whoever comes to help while the leader is at it.
 *
 *   leader    team_open ... team_share, team_share, ... team_close
 *   helper    team_help: takes units until the team is closed for good or it is called
 * away
 *
 * Units do not depend on how many help, nor does what they compute. A helper may come at
 * any time, also between two calls of the same leader, and brings scratch memory of its
 * own. Helpers that find no unit wait actively, while the team is open and for half a
 * millisecond afterwards: calls often follow each other, the steps of one picture do.
 *
 * Threads: one leader at a time, any number of helpers. Ownership: the struct is its
 * owner's and outlives everyone who helps.
 */
#ifndef SLUICE_MODEL_TEAM_H
#define SLUICE_MODEL_TEAM_H

#include "base/arena.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One unit of the work that context describes, with the scratch memory of whoever does
 * it; what it takes there it gives back. */
typedef void team_unit(void *context, size_t unit, struct arena *scratch);

struct team {
    atomic_bool open;
    atomic_uint_fast64_t ticket; /* units of this share << 32 | the next one to take */
    atomic_size_t left;          /* units that are not done */
    team_unit *unit;             /* of this share: written while no unit is left */
    void *context;
};

void team_init(struct team *team);
void team_open(struct team *team);
void team_close(struct team *team);
bool team_is_open(const struct team *team);

/* Does all units, with whoever helps; returns when all are done. team NULL: alone. */
void team_share(struct team *team,
                size_t units,
                team_unit *unit,
                void *context,
                struct arena *scratch);

/* Helps until the team is closed, and is not opened again soon, or *leave is set. */
void team_help(struct team *team, const atomic_bool *leave, struct arena *scratch);

#endif
