/* Softmax, SiLU and sums of each table against their definitions in double; and that all
 * tables give the same bits. */
#include "model/kernels/kernels.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/each_kernels.h"

#include <math.h>
#include <string.h>

enum { N = 1003 };
static const float SENTINEL = 12345.0f, ZERO = 0.0f;

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

static void expect_near(float found, double expected)
{
    CHECK(fabs((double)found - expected) <= 4e-7 * fabs(expected) + 1e-30);
}

/* Values from -40 to 40, and the ends. */
static void fill(struct draw *draw, float *x)
{
    static const float special[] = {0.0f, -0.0f, 1e-30f, -1e-30f, 87.0f, -80.0f, 1e30f};
    for (size_t i = 0; i < N; i++)
        x[i] = 40.0f * draw_float(draw);
    memcpy(x, special, sizeof(special));
}

static void test_silu(const struct elementwise *each)
{
    struct draw draw = {1};
    float x[N], before[N];
    fill(&draw, x);
    memcpy(before, x, sizeof(x));
    each->silu(x, N - 1);
    for (size_t i = 0; i < N - 1; i++)
        expect_near(x[i], silu((double)before[i]));
    CHECK(memcmp(&x[N - 1], &before[N - 1], sizeof(float)) == 0);

    /* Far below 0 it is next to 0, and never NaN. */
    float low[] = {-90.0f, -1000.0f, -1e30f};
    each->silu(low, 3);
    CHECK(fabsf(low[0]) <= 1e-36f && fabsf(low[1]) <= 1e-34f && isfinite(low[2]));
}

/* The gate is activated, and not what it gates. */
static void test_gated(const struct elementwise *each)
{
    struct draw draw = {2};
    float gate[N], up[N], out[N];
    fill(&draw, gate);
    memcpy(out, gate, sizeof(out));
    for (size_t i = 0; i < N; i++)
        up[i] = 5.0f * draw_float(&draw);
    each->gated(out, up, N - 1);
    for (size_t i = 0; i < N - 1; i++)
        expect_near(out[i], silu((double)gate[i]) * (double)up[i]);
    CHECK(memcmp(&out[N - 1], &gate[N - 1], sizeof(float)) == 0);
}

static void test_add(const struct elementwise *each)
{
    struct draw draw = {3};
    float x[N], y[N], before[N];
    for (size_t i = 0; i < N; i++) {
        before[i] = x[i] = draw_float(&draw);
        y[i] = draw_float(&draw);
    }
    each->add(x, y, N - 1);
    for (size_t i = 0; i < N - 1; i++)
        CHECK(fabs((double)x[i] - ((double)before[i] + (double)y[i])) <= 1.2e-7);
    CHECK(memcmp(&x[N - 1], &before[N - 1], sizeof(float)) == 0);
}

/* One row of n scores, padded. */
static void
expect_softmax(const struct elementwise *each, size_t n, size_t padded, float range)
{
    struct draw draw = {n};
    float scores[200], before[200];
    const float scale = 0.37f;
    double most = (double)-INFINITY, total = 0.0, sum = 0.0;
    for (size_t i = 0; i < 200; i++)
        scores[i] = i < padded ? range * draw_float(&draw) : SENTINEL;
    memcpy(before, scores, sizeof(scores));
    const float divisor = each->softmax(scores, n, padded, scale);
    for (size_t i = 0; i < n; i++)
        most = fmax(most, (double)scale * (double)before[i]);
    for (size_t i = 0; i < n; i++)
        total += exp((double)scale * (double)before[i] - most);
    for (size_t i = 0; i < n; i++) {
        const double x = (double)scale * (double)before[i] - most;
        /* Rounding an exponent of -x moves the result by its last place times x. */
        CHECK(fabs((double)scores[i] - exp(x)) <= 2e-7 * (3.0 - x) * exp(x) + 1e-34);
        sum += (double)scores[i];
    }
    CHECK(fabs(sum - (double)divisor) <= 1e-6 * sum);
    CHECK(fabs(sum - total) <= 1e-6 * total);
    for (size_t i = n; i < 200; i++)
        CHECK(memcmp(&scores[i], i < padded ? &ZERO : &SENTINEL, sizeof(float)) == 0);
}

static void test_softmax(const struct elementwise *each)
{
    for (size_t n = 1; n < 150; n++) {
        expect_softmax(each, n, n, 1.0f);
        expect_softmax(each, n, n + n % 17, 20.0f);
        expect_softmax(each, n, n + 30, 4000.0f);
    }
}

static void test_same_bits(const struct elementwise *each)
{
    struct draw draw = {5};
    for (size_t n = 1; n <= N; n += 3) {
        float a[N], b[N], y[N], sums[2];
        fill(&draw, a);
        memcpy(b, a, sizeof(a));
        for (size_t i = 0; i < N; i++)
            y[i] = draw_float(&draw);
        each->add(a, y, n);
        elementwise_scalar.add(b, y, n);
        each->gated(a, y, n);
        elementwise_scalar.gated(b, y, n);
        CHECK(memcmp(a, b, sizeof(a)) == 0);
        each->silu(a, n);
        elementwise_scalar.silu(b, n);
        CHECK(memcmp(a, b, sizeof(a)) == 0);
        sums[0] = each->softmax(a, n, n, 0.3f);
        sums[1] = elementwise_scalar.softmax(b, n, n, 0.3f);
        CHECK(memcmp(&sums[0], &sums[1], sizeof(float)) == 0);
        CHECK(memcmp(a, b, sizeof(a)) == 0);
    }
}

static void test_all(const struct kernels *kernels)
{
    test_silu(kernels->each);
    test_gated(kernels->each);
    test_add(kernels->each);
    test_softmax(kernels->each);
    test_same_bits(kernels->each);
}

int main(void)
{
    each_kernels(test_all);
    return 0;
}
