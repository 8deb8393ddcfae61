/* 3x3 convolution against its definition in double: borders, blocks, doubled input. */
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
    float *in, *weight, *panels, *bias, *out, *scratch;
};

static struct work create(struct draw *draw, struct convolution c)
{
    const size_t pixels = c.height * c.width;
    struct work work = {
        .in = draw_floats(draw, (c.doubled ? pixels / 4 : pixels) * c.in_channels),
        .weight = draw_floats(draw, c.out_channels * 9 * c.in_channels),
        .bias = draw_floats(draw, c.out_channels),
        .out = draw_floats(draw, pixels * c.out_channels),
        .scratch = malloc(convolution_scratch(c.in_channels) * sizeof(float)),
    };
    CHECK(work.scratch != NULL);
    const size_t patch = 9 * c.in_channels;
    work.panels = malloc(product_packed_size(c.out_channels, patch) * sizeof(float));
    CHECK(work.panels != NULL);
    product_pack(work.weight, patch, c.out_channels, patch, work.panels);
    c.panels = work.panels;
    c.in = work.in;
    c.bias = work.bias;
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

/* One value of the result; *size becomes the sum of all magnitudes. */
static double expected(const struct work *work, size_t at, size_t o, double *size)
{
    const struct convolution *c = &work->convolution;
    const long y = (long)(at / c->width), x = (long)(at % c->width);
    double sum = (double)c->bias[o];
    *size = fabs(sum);
    for (long k = 0; k < 9; k++) {
        const float *weight = work->weight + (o * 9 + (size_t)k) * c->in_channels;
        for (size_t i = 0; i < c->in_channels; i++) {
            const double term =
                pixel(c, y + k / 3 - 1, x + k % 3 - 1, i) * (double)weight[i];
            sum += term;
            *size += fabs(term);
        }
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

/* From one pixel to more than two blocks of 256. */
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
        {.height = 2, .width = 2, .in_channels = 3, .out_channels = 2, .doubled = true},
        {.height = 2, .width = 6, .in_channels = 1, .out_channels = 5, .doubled = true},
        {.height = 10, .width = 6, .in_channels = 7, .out_channels = 4, .doubled = true},
        {.height = 26, .width = 22, .in_channels = 6, .out_channels = 6, .doubled = true},
    };
    struct draw draw = {1};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct work work = create(&draw, cases[i]);
        convolution_apply(kernels, &work.convolution, work.scratch);
        expect_definition(&work);
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
    plain.doubled = false;
    plain.in = upsampled;
    plain.out = out;
    convolution_apply(kernels, &plain, work.scratch);
    CHECK(memcmp(out, work.out, pixels * shape.out_channels * sizeof(float)) == 0);
    free(upsampled);
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
    CHECK(convolution_scratch(SIZE_MAX / 4) == SIZE_MAX);
    return 0;
}
