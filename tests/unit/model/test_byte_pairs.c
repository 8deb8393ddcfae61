/* Byte-pair encoding against the definition, done step by step: find the lowest rank, the
 * leftmost of it, merge, start again. */
#include "model/byte_pairs.h"
#include "tests/check.h"

#include <stdbool.h>
#include <string.h>

enum { SYMBOLS = 4, MERGES = 200, LONGEST = 300, HUGE_LENGTH = 8000 };

struct merge {
    uint32_t left, right, merged;
};

/* Numerical Recipes' linear congruence: any draw that can be repeated will do. */
static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525U + 1013904223U;
    return (*state >> 8) % below;
}

static size_t reference(const struct merge *merges, size_t count, uint32_t *ids, size_t n)
{
    for (;;) {
        size_t best = count, where = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            for (size_t m = 0; m < best; m++) {
                if (merges[m].left == ids[i] && merges[m].right == ids[i + 1]) {
                    best = m;
                    where = i;
                }
            }
        }
        if (best == count)
            return n;
        ids[where] = merges[best].merged;
        n--;
        memmove(&ids[where + 1], &ids[where + 2], (n - where - 1) * sizeof(ids[0]));
    }
}

/* Merges of tokens that exist by then, as training makes them; no pair twice. */
static size_t draw_merges(struct merge *merges, uint32_t *state)
{
    size_t count = 0;
    for (uint32_t i = 0; i < MERGES; i++) {
        struct merge merge = {draw(state, SYMBOLS + (uint32_t)count),
                              draw(state, SYMBOLS + (uint32_t)count),
                              SYMBOLS + (uint32_t)count};
        bool known = false;
        for (size_t k = 0; k < count; k++)
            known |= merges[k].left == merge.left && merges[k].right == merge.right;
        if (!known)
            merges[count++] = merge;
    }
    return count;
}

static struct byte_pairs *create(const struct merge *merges, size_t count)
{
    struct err err;
    struct byte_pairs *pairs = NULL;
    uint32_t byte_ids[256];
    for (uint32_t i = 0; i < 256; i++)
        byte_ids[i] = i % SYMBOLS;
    CHECK_OK(byte_pairs_create(&pairs, byte_ids, count, count, &err), err);
    for (size_t i = 0; i < count; i++)
        byte_pairs_add(pairs, merges[i].left, merges[i].right, merges[i].merged);
    return pairs;
}

static void check_drawn(uint32_t seed)
{
    struct err err;
    struct merge merges[MERGES];
    uint32_t state = seed, expected[LONGEST];
    char text[LONGEST];
    size_t count = draw_merges(merges, &state);
    struct byte_pairs *pairs = create(merges, count);
    struct byte_pairs_work work = {0};
    for (unsigned round = 0; round < 40; round++) {
        size_t length = round < 5 ? round : draw(&state, LONGEST + 1);
        uint32_t symbols = 1 + draw(&state, SYMBOLS);
        for (size_t i = 0; i < length; i++) {
            expected[i] = draw(&state, symbols);
            text[i] = (char)expected[i];
        }
        size_t n = reference(merges, count, expected, length);
        CHECK_OK(byte_pairs_encode(pairs, &work, text, length, &err), err);
        CHECK(work.count == n);
        CHECK(n == 0 || memcmp(work.ids, expected, n * sizeof(expected[0])) == 0);
    }
    byte_pairs_work_finish(&work);
    byte_pairs_destroy(pairs);
}

/* A run of one byte folds by halves: 0 0 -> 1, 1 1 -> 2, 2 2 -> 3. */
static void check_long(void)
{
    static const struct merge merges[] = {{0, 0, 1}, {1, 1, 2}, {2, 2, 3}};
    static const char text[HUGE_LENGTH + 7];
    struct err err;
    struct byte_pairs *pairs = create(merges, 3);
    struct byte_pairs_work work = {0};
    CHECK_OK(byte_pairs_encode(pairs, &work, text, sizeof(text), &err), err);
    CHECK(work.count == HUGE_LENGTH / 8 + 3);
    CHECK(work.ids[0] == 3 && work.ids[work.count - 4] == 3);
    CHECK(work.ids[work.count - 3] == 2 && work.ids[work.count - 2] == 1 &&
          work.ids[work.count - 1] == 0);
    byte_pairs_work_finish(&work);
    byte_pairs_destroy(pairs);
}

/* The last of two ranks counts: 0 1 first stands before 1 2, then after it. */
static void check_repeated(void)
{
    static const struct merge merges[] = {{0, 1, 10}, {1, 2, 11}, {0, 1, 12}};
    static const char text[] = {0, 1, 2};
    struct err err;
    struct byte_pairs *pairs = create(merges, 3);
    struct byte_pairs_work work = {0};
    CHECK_OK(byte_pairs_encode(pairs, &work, text, 3, &err), err);
    CHECK(work.count == 2 && work.ids[0] == 0 && work.ids[1] == 11);
    CHECK_OK(byte_pairs_encode(pairs, &work, text, 2, &err), err);
    CHECK(work.count == 1 && work.ids[0] == 12);
    byte_pairs_work_finish(&work);
    byte_pairs_destroy(pairs);
    byte_pairs_destroy(NULL);
}

int main(void)
{
    for (uint32_t seed = 1; seed <= 50; seed++)
        check_drawn(seed);
    check_long();
    check_repeated();
    return 0;
}
