#include "model/tally.h"
#include "tests/check.h"

static void test_none(void)
{
    struct tally_shape shape = {TALLY_PRODUCT, 1, 2, 3, 0};
    CHECK(tally_start(NULL) == 0);
    tally_add(NULL, &shape, 12.0, 0);
}

static void test_rows_are_shapes(void)
{
    struct tally tally = {0};
    struct tally_shape a = {TALLY_PRODUCT, 1, 2, 3, 0},
                       b = {TALLY_CONVOLUTION, 1, 2, 3, 0};
    tally_add(&tally, &a, 12.0, tally_start(&tally));
    tally_add(&tally, &b, 108.0, tally_start(&tally));
    tally_add(&tally, &a, 12.0, tally_start(&tally));
    CHECK(tally.n == 2 && tally.operations == 132.0);
    CHECK(tally.rows[0].calls == 2 && tally.rows[0].operations == 24.0);
    CHECK(tally.rows[1].calls == 1 && tally.rows[1].shape.kind == TALLY_CONVOLUTION);
    CHECK(tally.took == tally.rows[0].took + tally.rows[1].took);
}

/* Heads that are alike but for their number are another shape. */
static void test_heads(void)
{
    struct tally tally = {0};
    struct tally_shape a = {TALLY_ATTENTION, 4, 4, 8, 2},
                       b = {TALLY_ATTENTION, 4, 4, 8, 3};
    tally_add(&tally, &a, 1.0, tally_start(&tally));
    tally_add(&tally, &b, 1.0, tally_start(&tally));
    CHECK(tally.n == 2);
}

static void test_no_room(void)
{
    struct tally tally = {0};
    for (size_t i = 0; i < TALLY_ROWS + 5; i++) {
        struct tally_shape shape = {TALLY_PRODUCT, i, 1, 1, 0};
        tally_add(&tally, &shape, 1.0, tally_start(&tally));
    }
    CHECK(tally.n == TALLY_ROWS && tally.operations == TALLY_ROWS + 5);
    CHECK(tally.rows[TALLY_ROWS - 1].calls == 1);
}

int main(void)
{
    test_none();
    test_rows_are_shapes();
    test_heads();
    test_no_room();
    return 0;
}
