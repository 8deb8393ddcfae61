/* The functions against the C library's in a wider type, and their promise: the same bits
 * for every compiler and processor. */
#include "base/digest.h"
#include "base/elementary.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { TRIES = 200000 };

/* A place of the last digit is up to 2.2e-16 of the result. */
static void expect_near(double found, long double exact)
{
    CHECK(fabsl((long double)found - exact) <= 2e-15L * fabsl(exact));
}

/* -range .. range, all 53 bits of the mantissa in use. */
static double draw_double(struct draw *draw, double range)
{
    return range * ((double)(draw_bits(draw) >> 11) * 0x1p-52 - 1.0);
}

static void test_log(void)
{
    struct draw draw = {1};
    for (int i = 0; i < TRIES; i++) {
        /* Of any size, and near 1, where the result is small. */
        const double wide = exp2(draw_double(&draw, 1000.0));
        const double near = 1.0 + draw_double(&draw, 0.5) * exp2(-(i % 40));
        expect_near(elementary_log(wide), logl((long double)wide));
        expect_near(elementary_log(near), logl((long double)near));
    }
    CHECK(fabs(elementary_log(1.0)) < DBL_MIN);
    expect_near(elementary_log(DBL_MIN), logl((long double)DBL_MIN));
    expect_near(elementary_log(DBL_MAX), logl((long double)DBL_MAX));
    expect_near(elementary_log(10000.0), logl(10000.0L));
}

static void test_exp(void)
{
    struct draw draw = {2};
    for (int i = 0; i < TRIES; i++) {
        const double x = draw_double(&draw, i % 2 == 0 ? 700.0 : 1.0);
        expect_near(elementary_exp(x), expl((long double)x));
    }
    CHECK(fabs(elementary_exp(0.0) - 1.0) < DBL_MIN);
    expect_near(elementary_exp(700.0), expl(700.0L));
    expect_near(elementary_exp(-700.0), expl(-700.0L));
}

/* Also beside the zeros, where the reduction by quarter turns must not lose digits. */
static void test_sine_and_cosine(void)
{
    struct draw draw = {3};
    for (int i = 0; i < TRIES; i++) {
        const double quarters = (double)draw_below(&draw, 600000) - 300000.0;
        const double xs[] = {draw_double(&draw, 1e6), draw_double(&draw, 4.0),
                             quarters * 1.5707963267948966};
        for (size_t k = 0; k < 3; k++) {
            const long double sine = sinl((long double)xs[k]);
            const long double cosine = cosl((long double)xs[k]);
            CHECK(fabsl((long double)elementary_sin(xs[k]) - sine) <=
                  2e-15L * fabsl(sine) + 1e-24L);
            CHECK(fabsl((long double)elementary_cos(xs[k]) - cosine) <=
                  2e-15L * fabsl(cosine) + 1e-24L);
        }
    }
    CHECK(fabs(elementary_sin(0.0)) < DBL_MIN);
    CHECK(fabs(elementary_cos(0.0) - 1.0) < DBL_MIN);
}

static void add(struct digest *digest, double value)
{
    unsigned char bytes[8];
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(bits >> 8 * i & 0xFF);
    digest_add(digest, bytes, sizeof(bytes));
}

/* The digest of a walk through all four; gcc and clang with any options give this one. */
static void test_same_bits(void)
{
    struct draw draw = {4};
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    digest_init(&digest);
    for (int i = 0; i < TRIES; i++) {
        add(&digest, elementary_log(1.0 + fabs(draw_double(&draw, 1e6))));
        add(&digest, elementary_exp(draw_double(&draw, 50.0)));
        add(&digest, elementary_sin(draw_double(&draw, 1e4)));
        add(&digest, elementary_cos(draw_double(&draw, 1e4)));
    }
    digest_finish(&digest, text);
    CHECK(strcmp(text,
                 "585a71b5f441274cace5fbe8b76516b0dcc03fc544936f47e4f36f25321b8089") ==
          0);
}

int main(void)
{
    test_log();
    test_exp();
    test_sine_and_cosine();
    test_same_bits();
    return 0;
}
