/*
 * arena - scratch memory for one computation at a time.
 *
 * A computation lays its buffers out with arena_take and gives them all back by
 * arena_rewind to a mark. A measuring arena has no memory: the same layout code run on
 * it says how many bytes the real one needs, so that need and use cannot differ.
 *
 * Threads: one at a time. Ownership: arena_init allocates once, arena_finish frees.
 */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Every piece starts on a cache line, which also suits the widest vector loads. */
enum { ARENA_ALIGNMENT = 64 };

struct arena {
    unsigned char *memory; /* NULL while measuring */
    size_t size, used;
    bool overflowed; /* a take did not fit; sticky until arena_rewind */
};

/* Allocates `size` bytes, of which the system gives pages as they are touched. */
enum err_code arena_init(struct arena *arena, size_t size, struct err *err);
void arena_finish(struct arena *arena);

/* An arena that only counts: `used` afterwards is the need in bytes. */
void arena_init_measuring(struct arena *arena);

/* count * size bytes, uninitialised, or NULL when they do not fit (`overflowed` then
 * tells it once for a whole layout) or the arena measures. */
void *arena_take(struct arena *arena, size_t count, size_t size);
float *arena_take_floats(struct arena *arena, size_t count);

size_t arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, size_t mark);

/* ERR_NO_MEMORY when some take since the last rewind did not fit. */
enum err_code arena_check(const struct arena *arena, const char *what, struct err *err);

#endif
