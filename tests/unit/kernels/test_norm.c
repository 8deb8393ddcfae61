/* The three norms against their definitions in double, and what tells them apart: the
 * epsilon, the order of scale and shift, groups, rows alone or among others. */
#include "model/kernels/kernels.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/each_kernels.h"

#include <math.h>
#include <string.h>

static const size_t widths[] = {1, 2, 3, 7, 8, 9, 13, 16, 31, 64, 127, 384};
enum { WIDTHS = sizeof(widths) / sizeof(widths[0]), MOST = 384, ROWS = 5 };

static void expect_near(float found, double expected, double allowed)
{
    CHECK(fabs((double)found - expected) <= allowed * (1.0 + fabs(expected)));
}

/* Mean and mean of squares about `centre`, in double. */
static double mean_of(const float *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum / (double)n;
}

static double spread_of(const float *x, size_t n, double centre)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)x[i] - centre) * ((double)x[i] - centre);
    return sum / (double)n;
}

static void test_rms(const struct elementwise *each)
{
    struct draw draw = {1};
    for (size_t w = 0; w < WIDTHS; w++) {
        const size_t n = widths[w], in_stride = n + w % 3, out_stride = n + w % 2;
        float *in = draw_floats(&draw, ROWS * in_stride);
        float *weight = draw_floats(&draw, n),
              *out = draw_floats(&draw, ROWS * out_stride);
        const float gap = out[out_stride - 1];
        const float epsilon = w % 2 == 0 ? 1e-6f : 0.25f;
        const struct norm_rms norm = {ROWS, n,      in_stride, out_stride,
                                      in,   weight, out,       epsilon};
        each->norm_rms(&norm);
        for (size_t r = 0; r < ROWS; r++) {
            const float *row = in + r * in_stride;
            const double scale = 1.0 / sqrt(spread_of(row, n, 0.0) + (double)epsilon);
            for (size_t i = 0; i < n; i++)
                expect_near(out[r * out_stride + i],
                            (double)row[i] * scale * (double)weight[i], 1e-6);
        }
        CHECK(out_stride == n || memcmp(&out[out_stride - 1], &gap, sizeof(gap)) == 0);
        free(in);
        free(weight);
        free(out);
    }
}

/* In place, and each row alone: the same bytes. */
static void test_rms_rows(const struct elementwise *each)
{
    struct draw draw = {2};
    for (size_t w = 0; w < WIDTHS; w++) {
        const size_t n = widths[w];
        float *in = draw_floats(&draw, ROWS * n), *weight = draw_floats(&draw, n);
        float *out = draw_floats(&draw, ROWS * n);
        struct norm_rms norm = {ROWS, n, n, n, in, weight, out, 1e-6f};
        each->norm_rms(&norm);
        norm.rows = 1;
        for (size_t r = 0; r < ROWS; r++) {
            norm.in = in + r * n;
            norm.out = in + r * n;
            each->norm_rms(&norm);
        }
        CHECK(memcmp(in, out, ROWS * n * sizeof(float)) == 0);
        free(in);
        free(weight);
        free(out);
    }
}

static void test_modulated(const struct elementwise *each)
{
    struct draw draw = {3};
    for (size_t w = 0; w < WIDTHS; w++) {
        const size_t n = widths[w];
        float *in = draw_floats(&draw, ROWS * n), *out = draw_floats(&draw, ROWS * n);
        float *scale = draw_floats(&draw, n), *shift = draw_floats(&draw, n);
        const float epsilon = w % 2 == 0 ? 1e-6f : 0.25f;
        const struct norm_modulated norm = {ROWS, n, in, scale, shift, out, epsilon};
        each->norm_modulated(&norm);
        for (size_t r = 0; r < ROWS; r++) {
            const float *row = in + r * n;
            const double mean = mean_of(row, n);
            const double inverse = 1.0 / sqrt(spread_of(row, n, mean) + (double)epsilon);
            for (size_t i = 0; i < n; i++)
                expect_near(out[r * n + i],
                            ((double)row[i] - mean) * inverse * (1.0 + (double)scale[i]) +
                                (double)shift[i],
                            2e-6);
        }
        free(in);
        free(out);
        free(scale);
        free(shift);
    }
}

/* A row of equal values has no deviation: what is left is the shift, whatever the scale;
 * and with no shift a scale of -1 leaves nothing. */
static void test_scale_is_not_shift(const struct elementwise *each)
{
    enum { N = 11 };
    float in[N], scale[N], shift[N], out[N];
    struct draw draw = {4};
    for (size_t i = 0; i < N; i++) {
        in[i] = 4.25f;
        scale[i] = 5.0f + draw_float(&draw);
        shift[i] = draw_float(&draw);
    }
    struct norm_modulated norm = {1, N, in, scale, shift, out, 1e-6f};
    each->norm_modulated(&norm);
    for (size_t i = 0; i < N; i++)
        expect_near(out[i], (double)shift[i], 1e-6);
    for (size_t i = 0; i < N; i++) {
        in[i] = draw_float(&draw);
        scale[i] = -1.0f;
        shift[i] = 0.0f;
    }
    each->norm_modulated(&norm);
    for (size_t i = 0; i < N; i++)
        expect_near(out[i], 0.0, 1e-7);
}

/* All units, the last one first: their order does not matter. */
static void norm_group(const struct elementwise *each, const struct norm_group *norm)
{
    const size_t units = norm_group_units(norm), n = norm_group_sums(norm);
    double *sums = calloc(units * n, sizeof(*sums));
    float *factors = calloc(norm_group_factors(norm), sizeof(*factors));
    CHECK(sums != NULL && factors != NULL);
    for (size_t unit = units; unit-- > 0;)
        each->group_sums(norm, unit, sums + unit * n);
    each->group_factors(norm, sums, factors);
    for (size_t unit = units; unit-- > 0;)
        each->group_apply(norm, unit, factors);
    free(sums);
    free(factors);
}

static void expect_group(const struct norm_group *norm, const float *in)
{
    const size_t width = norm->channels / norm->groups;
    float *members = malloc(norm->pixels * width * sizeof(*members));
    CHECK(members != NULL);
    for (size_t g = 0; g < norm->groups; g++) {
        size_t n = 0;
        for (size_t p = 0; p < norm->pixels; p++) {
            for (size_t c = g * width; c < (g + 1) * width; c++)
                members[n++] = in[p * norm->channels + c];
        }
        const double mean = mean_of(members, n);
        const double inverse =
            1.0 / sqrt(spread_of(members, n, mean) + (double)norm->epsilon);
        for (size_t k = 0; k < n; k++) {
            const size_t c = g * width + k % width;
            expect_near(norm->out[k / width * norm->channels + c],
                        ((double)members[k] - mean) * inverse * (double)norm->weight[c] +
                            (double)norm->bias[c],
                        3e-6);
        }
    }
    free(members);
}

static void test_group(const struct elementwise *each)
{
    static const struct {
        size_t pixels, channels, groups;
    } shapes[] = {{1, 1, 1},   {1, 6, 3},     {7, 6, 1},   {7, 6, 6},    {35, 9, 3},
                  {64, 12, 4}, {100, 32, 32}, {256, 3, 3}, {257, 10, 5}, {770, 4, 2}};
    struct draw draw = {5};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const size_t channels = shapes[i].channels, n = shapes[i].pixels * channels;
        float *in = draw_floats(&draw, n), *out = draw_floats(&draw, n);
        float *weight = draw_floats(&draw, channels),
              *bias = draw_floats(&draw, channels);
        struct norm_group norm = {
            shapes[i].pixels,           channels, shapes[i].groups, in, weight, bias, out,
            i % 2 == 0 ? 1e-6f : 0.25f, false};
        norm_group(each, &norm);
        expect_group(&norm, in);
        norm.out = in; /* in place: the same bytes */
        norm_group(each, &norm);
        CHECK(memcmp(in, out, n * sizeof(float)) == 0);
        free(in);
        free(out);
        free(weight);
        free(bias);
    }
}

/* Where the variance is as small as 1e-6, an epsilon of 1e-5 would halve the result. */
static void test_epsilon_of_flat_groups(const struct elementwise *each)
{
    enum { PIXELS = 50, CHANNELS = 4 };
    float in[PIXELS * CHANNELS], out[PIXELS * CHANNELS], ones[CHANNELS],
        zeros[CHANNELS] = {0};
    for (size_t c = 0; c < CHANNELS; c++)
        ones[c] = 1.0f;
    for (size_t i = 0; i < PIXELS * CHANNELS; i++)
        in[i] = i / CHANNELS % 2 == 0 ? 1e-3f : -1e-3f;
    struct norm_group norm = {PIXELS, CHANNELS, 2, in, ones, zeros, out, 1e-6f, false};
    norm_group(each, &norm);
    expect_near(out[0], 1e-3 / sqrt(2e-6), 1e-6);
    norm.epsilon = 1e-5f;
    norm_group(each, &norm);
    expect_near(out[0], 1e-3 / sqrt(1.1e-5), 1e-6);
}

/* The mean of many values far from 0 is not lost: 1000 +- 1 of 200,000. */
static void test_group_far_from_zero(const struct elementwise *each)
{
    enum { PIXELS = 50000, CHANNELS = 4 };
    struct draw draw = {6};
    float *in = draw_floats(&draw, PIXELS * CHANNELS);
    float *out = draw_floats(&draw, PIXELS * CHANNELS);
    float ones[CHANNELS] = {1, 1, 1, 1}, zeros[CHANNELS] = {0};
    for (size_t i = 0; i < PIXELS * CHANNELS; i++)
        in[i] = 1000.0f + in[i];
    const struct norm_group norm = {PIXELS, CHANNELS, 1,     in,   ones,
                                    zeros,  out,      1e-6f, false};
    norm_group(each, &norm);
    const double mean = mean_of(in, PIXELS * CHANNELS);
    const double inverse = 1.0 / sqrt(spread_of(in, PIXELS * CHANNELS, mean));
    /* A float near 1000 has steps of 6e-5, a factor of 1.7 errors of 1e-7. */
    for (size_t i = 0; i < PIXELS * CHANNELS; i++)
        CHECK(fabs((double)out[i] - ((double)in[i] - mean) * inverse) < 5e-4);
    free(in);
    free(out);
}

/* With the activation behind it: SiLU of the same values. */
static void test_group_with_silu(const struct elementwise *each)
{
    enum { PIXELS = 37, CHANNELS = 12 };
    struct draw draw = {7};
    float *in = draw_floats(&draw, PIXELS * CHANNELS);
    float *plain = draw_floats(&draw, PIXELS * CHANNELS);
    float *active = draw_floats(&draw, PIXELS * CHANNELS);
    float *weight = draw_floats(&draw, CHANNELS), *bias = draw_floats(&draw, CHANNELS);
    struct norm_group norm = {PIXELS, CHANNELS, 3, in, weight, bias, plain, 1e-6f, false};
    norm_group(each, &norm);
    norm.out = active;
    norm.silu = true;
    norm_group(each, &norm);
    for (size_t i = 0; i < PIXELS * CHANNELS; i++)
        expect_near(active[i], (double)plain[i] / (1.0 + exp(-(double)plain[i])), 1e-6);
    free(in);
    free(plain);
    free(active);
    free(weight);
    free(bias);
}

static void test_same_bits(const struct elementwise *each)
{
    struct draw draw = {8};
    for (size_t w = 0; w < WIDTHS; w++) {
        const size_t n = widths[w], bytes = ROWS * n * sizeof(float);
        float *in = draw_floats(&draw, ROWS * n), *scale = draw_floats(&draw, n);
        float *shift = draw_floats(&draw, n), *a = draw_floats(&draw, ROWS * n);
        float *b = draw_floats(&draw, ROWS * n);
        struct norm_rms rms = {ROWS, n, n, n, in, scale, a, 1e-6f};
        each->norm_rms(&rms);
        rms.out = b;
        elementwise_scalar.norm_rms(&rms);
        CHECK(memcmp(a, b, bytes) == 0);
        struct norm_modulated modulated = {ROWS, n, in, scale, shift, a, 1e-6f};
        each->norm_modulated(&modulated);
        modulated.out = b;
        elementwise_scalar.norm_modulated(&modulated);
        CHECK(memcmp(a, b, bytes) == 0);
        struct norm_group group = {ROWS, n,     n % 3 == 0 ? 3 : 1, in, scale, shift,
                                   a,    1e-6f, w % 2 == 0};
        norm_group(each, &group);
        group.out = b;
        norm_group(&elementwise_scalar, &group);
        CHECK(memcmp(a, b, bytes) == 0);
        free(in);
        free(scale);
        free(shift);
        free(a);
        free(b);
    }
}

static void test_all(const struct kernels *kernels)
{
    test_rms(kernels->each);
    test_rms_rows(kernels->each);
    test_modulated(kernels->each);
    test_scale_is_not_shift(kernels->each);
    test_group(kernels->each);
    test_epsilon_of_flat_groups(kernels->each);
    test_group_far_from_zero(kernels->each);
    test_group_with_silu(kernels->each);
    test_same_bits(kernels->each);
}

int main(void)
{
    each_kernels(test_all);
    return 0;
}
