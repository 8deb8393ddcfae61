/* 3x3 convolution against its definition in double: borders, units, doubled input, what
 * is added; the same bits of every table but OpenBLAS's. */
#include "model/kernels/convolution.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/each_kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* A case and its memory; the scratch is as large as asked for. */
struct work {
    struct convolution convolution;
    float *in, *weight, *panels, *bias, *residual, *out, *scratch;
};

static struct work create(struct draw *draw, struct convolution c)
{
    const size_t pixels = c.height * c.width;
    struct work work = {
        .in = draw_floats(draw, (c.doubled ? pixels / 4 : pixels) * c.in_channels),
        .weight = draw_floats(draw, c.out_channels * 9 * c.in_channels),
        .bias = draw_floats(draw, c.out_channels),
        .residual = draw_floats(draw, pixels * c.out_channels),
        .out = draw_floats(draw, pixels * c.out_channels),
        .scratch =
            malloc(convolution_scratch(c.in_channels, c.out_channels) * sizeof(float)),
    };
    CHECK(work.scratch != NULL);
    const size_t n = convolution_packed_size(c.out_channels, c.in_channels, c.doubled);
    float *room = malloc(c.out_channels * c.in_channels * sizeof(*room));
    work.panels = malloc(n * sizeof(float));
    CHECK(work.panels != NULL && room != NULL);
    convolution_pack(work.weight, c.out_channels, c.in_channels, c.doubled, room,
                     work.panels);
    free(room);
    c.panels = work.panels;
    c.in = work.in;
    c.bias = work.bias;
    c.residual = draw_below(draw, 2) == 0 ? work.residual : NULL;
    c.out = work.out;
    work.convolution = c;
    return work;
}

static void finish(struct work *work)
{
    free(work->in);
    free(work->weight);
    free(work->panels);
    free(work->bias);
    free(work->residual);
    free(work->out);
    free(work->scratch);
}

/* The input at a place that may lie beyond the border. */
static double pixel(const struct convolution *c, long y, long x, size_t channel)
{
    if (y < 0 || x < 0 || y >= (long)c->height || x >= (long)c->width)
        return 0.0;
    const size_t row = (size_t)y, column = (size_t)x;
    const size_t at =
        c->doubled ? row / 2 * (c->width / 2) + column / 2 : row * c->width + column;
    return (double)c->in[at * c->in_channels + channel];
}

/* One value of the result; *size becomes what rounding errors are in proportion to. */
static double expected(const struct work *work, size_t at, size_t o, double *size)
{
    const struct convolution *c = &work->convolution;
    const long y = (long)(at / c->width), x = (long)(at % c->width);
    double sum = (double)c->bias[o];
    if (c->residual != NULL)
        sum += (double)c->residual[at * c->out_channels + o];
    /* Terms of a whole tile meet in each of its outputs: their values are at most 1. */
    *size = 2.0 + 9.0 * (double)c->in_channels;
    for (size_t i = 0; i < c->in_channels; i++) {
        const float *weight = work->weight + (o * c->in_channels + i) * 9;
        for (long k = 0; k < 9; k++)
            sum += pixel(c, y + k / 3 - 1, x + k % 3 - 1, i) * (double)weight[k];
    }
    return sum;
}

static void expect_definition(const struct work *work)
{
    const struct convolution *c = &work->convolution;
    const double root = 2.0 + 3.0 * sqrt((double)c->in_channels);
    for (size_t k = 0; k < c->height * c->width * c->out_channels; k++) {
        double size;
        const double wanted =
            expected(work, k / c->out_channels, k % c->out_channels, &size);
        CHECK(fabs((double)c->out[k] - wanted) <= 0x1p-24 * size * root);
    }
}

static const struct kernels scalar = {"scalar", product_scalar, &elementwise_scalar};

/* The scalar table's bits, with the units in the opposite order. */
static void expect_same_bits(struct work *work)
{
    struct convolution *c = &work->convolution;
    const size_t bytes = c->height * c->width * c->out_channels * sizeof(float);
    float *found = c->out, *expected = malloc(bytes);
    CHECK(expected != NULL);
    c->out = expected;
    for (size_t unit = convolution_units(c); unit-- > 0;)
        convolution_apply_unit(&scalar, c, unit, work->scratch);
    c->out = found;
    CHECK(memcmp(found, expected, bytes) == 0);
    free(expected);
}

/* From one pixel to several units; channels around a vector's. */
static void test_definition(const struct kernels *kernels)
{
    static const struct convolution cases[] = {
        {.height = 1, .width = 1, .in_channels = 1, .out_channels = 1},
        {.height = 1, .width = 9, .in_channels = 3, .out_channels = 2},
        {.height = 9, .width = 1, .in_channels = 2, .out_channels = 3},
        {.height = 2, .width = 2, .in_channels = 5, .out_channels = 7},
        {.height = 5, .width = 7, .in_channels = 13, .out_channels = 3},
        {.height = 16, .width = 16, .in_channels = 4, .out_channels = 6},
        {.height = 23, .width = 29, .in_channels = 9, .out_channels = 11},
        {.height = 8, .width = 12, .in_channels = 16, .out_channels = 48},
        {.height = 6, .width = 4, .in_channels = 35, .out_channels = 33},
        {.height = 2, .width = 2, .in_channels = 3, .out_channels = 2, .doubled = true},
        {.height = 2, .width = 6, .in_channels = 1, .out_channels = 5, .doubled = true},
        {.height = 10, .width = 6, .in_channels = 7, .out_channels = 4, .doubled = true},
        {.height = 26, .width = 22, .in_channels = 6, .out_channels = 6, .doubled = true},
        {.height = 4, .width = 8, .in_channels = 32, .out_channels = 17, .doubled = true},
    };
    struct draw draw = {1};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct work work = create(&draw, cases[i]);
        convolution_apply(kernels, &work.convolution, work.scratch);
        expect_definition(&work);
        if (strcmp(kernels->name, "openblas") != 0)
            expect_same_bits(&work);
        finish(&work);
    }
}

/* Doubling while reading is doubling before: the same bytes. */
static void test_doubled_is_nearest_upsampling(const struct kernels *kernels)
{
    const struct convolution shape = {
        .height = 18, .width = 34, .in_channels = 5, .out_channels = 3, .doubled = true};
    struct draw draw = {2};
    struct work work = create(&draw, shape);
    convolution_apply(kernels, &work.convolution, work.scratch);

    const size_t pixels = shape.height * shape.width;
    float *upsampled = draw_floats(&draw, pixels * shape.in_channels);
    float *out = draw_floats(&draw, pixels * shape.out_channels);
    for (size_t at = 0; at < pixels; at++) {
        const size_t y = at / shape.width / 2, x = at % shape.width / 2;
        memcpy(upsampled + at * shape.in_channels,
               work.in + (y * (shape.width / 2) + x) * shape.in_channels,
               shape.in_channels * sizeof(float));
    }
    struct convolution plain = work.convolution;
    const size_t n =
        convolution_packed_size(shape.out_channels, shape.in_channels, false);
    float *panels =
        malloc((n + shape.out_channels * shape.in_channels) * sizeof(*panels));
    CHECK(panels != NULL);
    convolution_pack(work.weight, shape.out_channels, shape.in_channels, false,
                     panels + n, panels);
    plain.doubled = false;
    plain.panels = panels;
    plain.in = upsampled;
    plain.out = out;
    convolution_apply(kernels, &plain, work.scratch);
    CHECK(memcmp(out, work.out, pixels * shape.out_channels * sizeof(float)) == 0);
    free(upsampled);
    free(panels);
    free(out);
    finish(&work);
}

static void test_all(const struct kernels *kernels)
{
    test_definition(kernels);
    test_doubled_is_nearest_upsampling(kernels);
}

int main(void)
{
    each_kernels(test_all);
    CHECK(convolution_scratch(SIZE_MAX / 4, 1) == SIZE_MAX);
    CHECK(convolution_scratch(1, SIZE_MAX / 4) == SIZE_MAX);
    return 0;
}
