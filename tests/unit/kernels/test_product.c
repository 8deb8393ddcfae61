/* The product of each table against its definition in double, for awkward sizes and every
 * layout, and the promise that a sum depends on nothing but its own terms. */
#include "model/kernels/kernels.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/each_kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static const size_t sizes[] = {1,  2,  3,  5,  7,  11, 13, 15,
                               16, 17, 31, 32, 33, 48, 67, 129};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), ENDS = PRODUCT_GATED + 1 };
static const float SENTINEL = 12345.0f;

/* One product and the memory it lives in; weight is [outputs, inputs], `second` what it
 * gates. Each array is as large as it must be, and no larger. */
struct work {
    struct product product;
    float *in, *weight, *second, *panels, *bias, *gate, *start, *out;
    size_t n_out;
};

static float *
draw_panels(struct work *work, enum product_end end, size_t outputs, size_t inputs)
{
    const size_t n = product_packed_size(
        end == PRODUCT_GATED ? (outputs + 15) / 16 * 32 : outputs, inputs);
    float *panels = malloc(n * sizeof(*panels));
    CHECK(panels != NULL);
    for (size_t i = 0; i < n; i++)
        panels[i] = NAN; /* packing leaves nothing out */
    if (end == PRODUCT_GATED)
        product_pack_gated(work->weight, work->second, outputs, inputs, panels);
    else
        product_pack(work->weight, inputs, outputs, inputs, panels);
    return panels;
}

static struct work create(struct draw *draw, enum product_end end)
{
    const size_t rows = sizes[draw_below(draw, SIZES)],
                 inputs = sizes[draw_below(draw, SIZES)];
    const size_t outputs = sizes[draw_below(draw, SIZES)];
    const size_t in_stride = inputs + draw_below(draw, 3);
    const size_t out_stride = outputs + draw_below(draw, 3);
    struct work work = {.n_out = rows * out_stride};
    work.in = draw_floats(draw, rows * in_stride);
    work.weight = draw_floats(draw, outputs * inputs);
    work.second = draw_floats(draw, outputs * inputs);
    work.bias = draw_floats(draw, outputs);
    work.gate = draw_floats(draw, outputs);
    work.start = draw_floats(draw, work.n_out);
    work.out = draw_floats(draw, work.n_out);
    work.panels = draw_panels(&work, end, outputs, inputs);
    /* What was there before, also NaN, must not matter where nothing is added to it. */
    for (size_t i = 0; i < work.n_out; i++) {
        if (i % out_stride >= outputs)
            work.start[i] = SENTINEL;
        else if (end != PRODUCT_ADD)
            work.start[i] = NAN;
    }
    work.product = (struct product){
        .rows = rows,
        .inputs = inputs,
        .outputs = outputs,
        .in = work.in,
        .in_stride = in_stride,
        .panels = work.panels,
        .out = work.out,
        .out_stride = out_stride,
        .end = end,
        .bias = end != PRODUCT_GATED && draw_below(draw, 2) == 0 ? work.bias : NULL,
        .gate = end == PRODUCT_ADD && draw_below(draw, 2) == 0 ? work.gate : NULL,
    };
    return work;
}

static void finish(struct work *work)
{
    float *const arrays[] = {work->in,   work->weight, work->second, work->panels,
                             work->bias, work->gate,   work->start,  work->out};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
}

/* A sum in double; *size becomes that of the magnitudes. */
static double
sum_of(const struct product *p, const float *weight, size_t at, double *size)
{
    const float *in = p->in + at / p->out_stride * p->in_stride;
    double sum = 0.0;
    *size = 0.0;
    for (size_t i = 0; i < p->inputs; i++) {
        const double term =
            (double)in[i] * (double)weight[at % p->out_stride * p->inputs + i];
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

/* Rounding errors are as random signs: their sum grows by the root of their number. */
static void expect_element(const struct work *work, size_t at)
{
    const struct product *p = &work->product;
    const size_t output = at % p->out_stride;
    double size, other_size = 0.0;
    double expected = sum_of(p, work->weight, at, &size);
    if (p->end == PRODUCT_GATED) {
        const double gated = sum_of(p, work->second, at, &other_size);
        size = 1.0 + size * other_size + size + other_size;
        expected = expected / (1.0 + exp(-expected)) * gated;
    }
    if (p->bias != NULL) {
        expected += (double)p->bias[output];
        size += fabs((double)p->bias[output]);
    }
    if (p->end == PRODUCT_ADD) {
        expected *= p->gate != NULL ? (double)p->gate[output] : 1.0;
        expected += (double)work->start[at];
        size += fabs((double)work->start[at]);
    }
    const double allowed = 0x1p-24 * size * (3.0 + sqrt((double)p->inputs));
    CHECK(fabs((double)p->out[at] - expected) <= allowed);
}

static void run(const struct kernels *kernels, struct work *work)
{
    memcpy(work->out, work->start, work->n_out * sizeof(float));
    kernels->product(&work->product);
}

static void test_definition(const struct kernels *kernels)
{
    struct draw draw = {1};
    for (int i = 0; i < 600; i++) {
        struct work work = create(&draw, (enum product_end)(i % ENDS));
        run(kernels, &work);
        for (size_t at = 0; at < work.n_out; at++) {
            if (at % work.product.out_stride < work.product.outputs)
                expect_element(&work, at);
            else
                CHECK(memcmp(&work.out[at], &SENTINEL, sizeof(SENTINEL)) == 0);
        }
        finish(&work);
    }
}

/* Fused multiply-adds in order, from zero: to the last bit. */
static void test_order_of_the_sum(const struct kernels *kernels)
{
    struct draw draw = {2};
    for (int i = 0; i < 200; i++) {
        struct work work = create(&draw, PRODUCT_STORE);
        const struct product *p = &work.product;
        run(kernels, &work);
        for (size_t at = 0; at < work.n_out; at++) {
            const size_t row = at / p->out_stride, output = at % p->out_stride;
            float sum = 0.0f;
            for (size_t k = 0; output < p->outputs && k < p->inputs; k++)
                sum = fmaf(p->in[row * p->in_stride + k],
                           work.weight[output * p->inputs + k], sum);
            sum += p->bias != NULL && output < p->outputs ? p->bias[output] : 0.0f;
            CHECK(output >= p->outputs || memcmp(&sum, &p->out[at], sizeof(sum)) == 0);
        }
        finish(&work);
    }
}

static const struct kernels scalar = {"scalar", product_scalar, &elementwise_scalar};

/* Every end: the bits of the scalar table, and each row alone those of it among others.
 */
static void test_same_bits(const struct kernels *kernels)
{
    struct draw draw = {3};
    for (int i = 0; i < 300; i++) {
        struct work work = create(&draw, (enum product_end)(i % ENDS));
        const size_t bytes = work.n_out * sizeof(float);
        float *expected = malloc(bytes);
        CHECK(expected != NULL);
        run(&scalar, &work);
        memcpy(expected, work.out, bytes);
        run(kernels, &work);
        CHECK(memcmp(expected, work.out, bytes) == 0);

        memcpy(work.out, work.start, bytes);
        struct product alone = work.product;
        alone.rows = 1;
        for (size_t r = 0; r < work.product.rows; r++) {
            kernels->product(&alone);
            alone.in += alone.in_stride;
            alone.out += alone.out_stride;
        }
        CHECK(memcmp(expected, work.out, bytes) == 0);
        free(expected);
        finish(&work);
    }
}

/* panels[p][i][l] = weight[16 p + l][i], zeros beyond, an even number of panels. */
static void test_packing(void)
{
    struct draw draw = {4};
    for (size_t outputs = 1; outputs <= 70; outputs++) {
        const size_t inputs = 1 + outputs % 7, n = product_packed_size(outputs, inputs);
        float *weight = draw_floats(&draw, outputs * inputs),
              *columns =
                  draw_floats(&draw, outputs * (inputs + 2) + inputs * (outputs + 2));
        float *panels = draw_floats(&draw, n), *same = draw_floats(&draw, n);
        CHECK(product_panels(outputs) % 2 == 0);
        CHECK(product_panels(outputs) * PANEL >= outputs);
        CHECK(product_panels(outputs) * PANEL < outputs + (size_t)2 * PANEL);
        CHECK(n == product_panels(outputs) * PANEL * inputs);
        product_pack(weight, inputs, outputs, inputs, panels);
        for (size_t i = 0; i < n; i++) {
            const size_t output = i / (PANEL * inputs) * PANEL + i % PANEL;
            const size_t input = i / PANEL % inputs;
            const float expected =
                output < outputs ? weight[output * inputs + input] : 0.0f;
            CHECK(memcmp(&panels[i], &expected, sizeof(expected)) == 0);
        }
        for (size_t i = 0; i < outputs * inputs; i++)
            columns[i % inputs * (outputs + 2) + i / inputs] = weight[i];
        product_pack_columns(columns, outputs + 2, outputs, inputs, same);
        CHECK(memcmp(panels, same, n * sizeof(float)) == 0);
        free(weight);
        free(columns);
        free(panels);
        free(same);
    }
    CHECK(product_packed_size(SIZE_MAX / 2, 4) == SIZE_MAX);
}

static void test_all(const struct kernels *kernels)
{
    test_definition(kernels);
    if (strcmp(kernels->name, "openblas") == 0)
        return;
    test_order_of_the_sum(kernels);
    test_same_bits(kernels);
}

int main(void)
{
    test_packing();
    each_kernels(test_all);
    return 0;
}
