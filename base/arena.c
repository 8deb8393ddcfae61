#include "base/arena.h"

#include "base/size.h"

#include <stdint.h>
#include <stdlib.h>

enum err_code arena_init(struct arena *arena, size_t size, struct err *err)
{
    size_t rounded = size_multiply(size / ARENA_ALIGNMENT + 1, ARENA_ALIGNMENT);
    void *memory = rounded == SIZE_MAX ? NULL : aligned_alloc(ARENA_ALIGNMENT, rounded);
    if (memory == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %zu bytes of scratch", size);
    *arena = (struct arena){.memory = memory, .size = rounded};
    return ERR_OK;
}

void arena_finish(struct arena *arena)
{
    free(arena->memory);
    *arena = (struct arena){0};
}

void arena_init_measuring(struct arena *arena)
{
    *arena = (struct arena){.size = SIZE_MAX};
}

void *arena_take(struct arena *arena, size_t count, size_t size)
{
    size_t bytes = size_add(size_multiply(count, size), ARENA_ALIGNMENT - 1);
    size_t end = size_add(arena->used, bytes / ARENA_ALIGNMENT * ARENA_ALIGNMENT);
    if (bytes == SIZE_MAX || end == SIZE_MAX || end > arena->size) {
        arena->overflowed = true;
        if (arena->memory == NULL)
            arena->used = SIZE_MAX; /* a measure that wrapped around is no number */
        return NULL;
    }
    unsigned char *piece = arena->memory == NULL ? NULL : arena->memory + arena->used;
    arena->used = end;
    return piece;
}

float *arena_take_floats(struct arena *arena, size_t count)
{
    return arena_take(arena, count, sizeof(float));
}

size_t arena_mark(const struct arena *arena)
{
    return arena->used;
}

void arena_rewind(struct arena *arena, size_t mark)
{
    arena->used = mark;
    arena->overflowed = false;
}

enum err_code arena_check(const struct arena *arena, const char *what, struct err *err)
{
    if (!arena->overflowed)
        return ERR_OK;
    return err_set(err, ERR_NO_MEMORY, "%s does not fit into %zu bytes of scratch", what,
                   arena->size);
}
