/* Byte counts saturate. */
#include "base/size.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

/* The definitions, for values whose product and sum fit. */
static void test_small(void)
{
    struct draw draw = {1};
    for (int i = 0; i < 10000; i++) {
        const size_t a = draw_below(&draw, (size_t)1 << 31);
        const size_t b = draw_below(&draw, (size_t)1 << 31);
        CHECK(size_multiply(a, b) == a * b);
        CHECK(size_add(a, b) == a + b);
        CHECK(size_max(a, b) == (a > b ? a : b));
        CHECK(size_min(a, b) == (a > b ? b : a));
    }
}

static void test_ends(void)
{
    CHECK(size_multiply(SIZE_MAX, 0) == 0 && size_multiply(0, SIZE_MAX) == 0);
    CHECK(size_multiply(SIZE_MAX, 1) == SIZE_MAX &&
          size_multiply(1, SIZE_MAX) == SIZE_MAX);
    CHECK(size_multiply(SIZE_MAX, 2) == SIZE_MAX &&
          size_multiply(2, SIZE_MAX) == SIZE_MAX);
    CHECK(size_multiply(SIZE_MAX / 2, 2) == SIZE_MAX - 1);
    CHECK(size_multiply(SIZE_MAX / 2 + 1, 2) == SIZE_MAX);
    CHECK(size_multiply((size_t)1 << 32, (size_t)1 << 31) == (size_t)1 << 63);
    CHECK(size_multiply((size_t)1 << 32, (size_t)1 << 32) == SIZE_MAX);
    CHECK(size_add(SIZE_MAX - 3, 3) == SIZE_MAX && size_add(SIZE_MAX - 3, 4) == SIZE_MAX);
    CHECK(size_add(SIZE_MAX, SIZE_MAX) == SIZE_MAX && size_add(0, 0) == 0);
    CHECK(size_add(SIZE_MAX - 3, 2) == SIZE_MAX - 1);
}

int main(void)
{
    test_small();
    test_ends();
    return 0;
}
