/* Pieces lie apart and aligned, a measure is the need exactly, what does not fit is told.
 */
#include "base/arena.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <stdint.h>
#include <string.h>

enum { PIECES = 12 };

/* One layout, as a computation would have it. */
static void
lay_out(struct arena *arena, uint64_t seed, unsigned char **pieces, size_t *sizes)
{
    struct draw draw = {seed};
    for (size_t i = 0; i < PIECES; i++) {
        size_t count = draw_below(&draw, 300), size = 1 + draw_below(&draw, 16);
        pieces[i] = arena_take(arena, count, size);
        sizes[i] = count * size;
    }
}

static void test_measure_is_the_need(void)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct arena measure, arena;
        struct err err;
        unsigned char *pieces[PIECES];
        size_t sizes[PIECES];
        arena_init_measuring(&measure);
        lay_out(&measure, seed, pieces, sizes);
        CHECK(!measure.overflowed);
        for (size_t i = 0; i < PIECES; i++)
            CHECK(pieces[i] == NULL);

        CHECK_OK(arena_init(&arena, measure.used, &err), err);
        lay_out(&arena, seed, pieces, sizes);
        CHECK_OK(arena_check(&arena, "a layout", &err), err);
        CHECK(arena.used == measure.used);
        for (size_t i = 0; i < PIECES; i++) {
            CHECK((uintptr_t)pieces[i] % ARENA_ALIGNMENT == 0);
            memset(pieces[i], (int)i, sizes[i]);
        }
        for (size_t i = 0; i < PIECES; i++) {
            for (size_t k = 0; k < sizes[i]; k++)
                CHECK(pieces[i][k] == i);
        }
        arena_finish(&arena);
    }
}

static void test_overflow_is_told_once(void)
{
    struct arena arena;
    struct err err = {0};
    CHECK_OK(arena_init(&arena, 1000, &err), err);
    size_t start = arena_mark(&arena);
    CHECK(arena_take(&arena, 100, 4) != NULL);
    size_t mark = arena_mark(&arena);
    CHECK(arena_take(&arena, 1, 700) == NULL);
    CHECK(arena_take_floats(&arena, 10) != NULL); /* fits, but the layout is lost */
    CHECK(arena_check(&arena, "a picture", &err) == ERR_NO_MEMORY);
    CHECK(strstr(err.message, "a picture") != NULL);
    CHECK(strstr(err.message, "1024 bytes") != NULL);

    arena_rewind(&arena, mark);
    CHECK(arena_check(&arena, "a picture", &err) == ERR_OK);
    CHECK(arena_take(&arena, 1, 500) != NULL);
    arena_rewind(&arena, start);
    CHECK(arena.used == 0);
    arena_finish(&arena);
    CHECK(arena.memory == NULL && arena.size == 0);
    arena_finish(&arena);
}

/* Products and sums that wrap around do not fit, and a measure of them is no number. */
static void test_sizes_that_wrap(void)
{
    static const size_t counts[] = {SIZE_MAX, SIZE_MAX / 4 + 1, SIZE_MAX / 4,
                                    SIZE_MAX - 62};
    struct arena arena;
    struct err err;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        size_t size = i < 3 ? 4 : 1;
        CHECK_OK(arena_init(&arena, 64, &err), err);
        CHECK(arena_take(&arena, counts[i], size) == NULL);
        CHECK(arena.overflowed && arena.used == 0);
        arena_finish(&arena);
        arena_init_measuring(&arena);
        CHECK(arena_take(&arena, 10, 4) == NULL && arena.used == 64);
        CHECK(arena_take(&arena, counts[i], size) == NULL);
        CHECK(arena_take(&arena, 1, 1) == NULL);
        CHECK(arena.overflowed && arena.used == SIZE_MAX);
    }
    CHECK(arena_init(&arena, SIZE_MAX, &err) == ERR_NO_MEMORY);
    CHECK(strstr(err.message, "no memory") != NULL);
}

int main(void)
{
    test_measure_is_the_need();
    test_overflow_is_told_once();
    test_sizes_that_wrap();
    return 0;
}
