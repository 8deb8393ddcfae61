/* Every half-precision number, and layers whose weights stay 16 bits wide. */
#include "model/linear.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/each_kernels.h"

#include <math.h>
#include <string.h>

enum { NUMBERS = 0x10000 };

/* IEEE 754-2019, 3.4: sign, exponent and fraction of a binary format, by arithmetic. */
static double reference(unsigned bits, unsigned exponent_bits)
{
    const int fraction_bits = 15 - (int)exponent_bits,
              bias = (1 << (exponent_bits - 1)) - 1;
    const unsigned fraction = bits & ((1u << fraction_bits) - 1);
    const unsigned exponent = bits >> fraction_bits & ((1u << exponent_bits) - 1);
    double magnitude;
    if (exponent == (1u << exponent_bits) - 1)
        magnitude = fraction == 0 ? (double)INFINITY : (double)NAN;
    else if (exponent == 0)
        magnitude = ldexp((double)fraction, 1 - bias - fraction_bits);
    else
        magnitude = ldexp((double)fraction + ldexp(1.0, fraction_bits),
                          (int)exponent - bias - fraction_bits);
    return copysign(magnitude, bits >> 15 != 0 ? -1.0 : 1.0);
}

static void test_all_numbers(enum dtype dtype, unsigned exponent_bits)
{
    static uint16_t narrow[NUMBERS];
    static float wide[NUMBERS];
    for (unsigned i = 0; i < NUMBERS; i++)
        narrow[i] = (uint16_t)i;
    linear_widen(dtype, narrow, NUMBERS, wide);
    for (unsigned i = 0; i < NUMBERS; i++) {
        const double expected = reference(i, exponent_bits);
        CHECK(isnan(wide[i]) != 0
                  ? isnan(expected) != 0
                  : !((double)wide[i] < expected) && !((double)wide[i] > expected) &&
                        !isnan(expected));
        CHECK((signbit(wide[i]) != 0) == (i >> 15 != 0));
    }
}

static void test_known_numbers(void)
{
    static const uint16_t half[] = {0x3C00, 0xC000, 0x7BFF, 0x0400, 0x0001, 0x83FF};
    static const float half_values[] = {1.0f,     -2.0f,    65504.0f,
                                        0x1p-14f, 0x1p-24f, -0x1.ff8p-15f};
    static const uint16_t brain[] = {0x3F80, 0xC000, 0x7F7F, 0x0080, 0x0001};
    static const float brain_values[] = {1.0f, -2.0f, 0x1.fep127f, 0x1p-126f, 0x1p-133f};
    float found[6];
    linear_widen(DTYPE_F16, half, 6, found);
    CHECK(memcmp(found, half_values, 6 * sizeof(float)) == 0);
    linear_widen(DTYPE_BF16, brain, 5, found);
    CHECK(memcmp(found, brain_values, 5 * sizeof(float)) == 0);
    linear_widen(DTYPE_F32, half_values, 6, found);
    CHECK(memcmp(found, half_values, 6 * sizeof(float)) == 0);
}

/* Random 16-bit numbers of ordinary size. */
static uint16_t *draw_narrow(struct draw *draw, enum dtype dtype, size_t n)
{
    uint16_t *values = malloc(n * sizeof(*values));
    CHECK(values != NULL);
    for (size_t i = 0; i < n; i++) {
        const uint64_t bits = draw_bits(draw);
        /* Exponents of 2^-8 to 2^-1. */
        const uint64_t exponent = bits >> 20 & 7, sign = bits >> 30 & 1;
        values[i] = (uint16_t)(dtype == DTYPE_BF16
                                   ? sign << 15 | (119 + exponent) << 7 | (bits & 0x7F)
                                   : sign << 15 | (7 + exponent) << 10 | (bits & 0x3FF));
    }
    return values;
}

/* The panels of a 16-bit weight: those of its places, counted from 1, looked up. */
static uint16_t *
pack_narrow(const uint16_t *narrow, size_t inputs, size_t outputs, bool gated)
{
    const size_t n = inputs * outputs * (gated ? 2 : 1);
    const size_t size = gated ? product_gated_size(outputs, inputs)
                              : product_packed_size(outputs, inputs);
    float *places = malloc((n + size) * sizeof(*places)), *packed = places + n;
    uint16_t *panels = malloc(size * sizeof(*panels));
    CHECK(places != NULL && panels != NULL && n < 1 << 24);
    for (size_t i = 0; i < n; i++)
        places[i] = (float)(i + 1);
    if (gated)
        product_pack_gated(places, places + inputs * outputs, outputs, inputs, packed);
    else
        product_pack(places, inputs, outputs, inputs, packed);
    for (size_t i = 0; i < size; i++)
        panels[i] = packed[i] > 0.0f ? narrow[(size_t)packed[i] - 1] : 0;
    free(places);
    return panels;
}

/* A layer on rows that lie apart: its 16-bit panels give the bits that the same ones give
 * widened; and the first row is the sum in double. */
static void expect_same_as_widened(const struct kernels *kernels,
                                   enum dtype dtype,
                                   size_t inputs,
                                   size_t outputs,
                                   bool gated)
{
    enum { ROWS = 3 };
    struct draw draw = {inputs};
    const size_t in_stride = inputs + 3, out_stride = outputs + 2;
    const size_t n = inputs * outputs * (gated ? 2 : 1);
    const size_t size = gated ? product_gated_size(outputs, inputs)
                              : product_packed_size(outputs, inputs);
    uint16_t *narrow = draw_narrow(&draw, dtype, n);
    uint16_t *panels = pack_narrow(narrow, inputs, outputs, gated);
    float *wide = malloc(n * sizeof(*wide)),
          *wide_panels = malloc(size * sizeof(*wide_panels));
    CHECK(wide != NULL && wide_panels != NULL);
    float *bias = draw_floats(&draw, outputs), *in = draw_floats(&draw, ROWS * in_stride);
    float *a = draw_floats(&draw, ROWS * out_stride),
          *b = draw_floats(&draw, ROWS * out_stride);
    memcpy(b, a, ROWS * out_stride * sizeof(float));
    linear_widen(dtype, narrow, n, wide);
    linear_widen(dtype, panels, size, wide_panels);

    struct linear layer = {inputs, outputs, gated, dtype, panels, gated ? NULL : bias};
    struct linear_rows rows = {.rows = ROWS,
                               .in = in,
                               .in_stride = in_stride,
                               .out = a,
                               .out_stride = out_stride};
    linear_apply(kernels, &layer, &rows);
    layer.dtype = DTYPE_F32;
    layer.data = wide_panels;
    rows.out = b;
    linear_apply(kernels, &layer, &rows);
    CHECK(memcmp(a, b, ROWS * out_stride * sizeof(float)) == 0);
    for (size_t o = 0; !gated && o < outputs; o++) {
        double sum = (double)bias[o];
        for (size_t i = 0; i < inputs; i++)
            sum += (double)in[i] * (double)wide[o * inputs + i];
        CHECK(fabs((double)a[o] - sum) <= 1e-6 * sqrt((double)inputs) + 1e-6);
    }
    free(narrow);
    free(panels);
    free(wide);
    free(wide_panels);
    free(bias);
    free(in);
    free(a);
    free(b);
}

/* Around pairs of panels. */
static void test_narrow(const struct kernels *kernels)
{
    for (size_t gated = 0; gated < 2; gated++) {
        expect_same_as_widened(kernels, DTYPE_F16, 5, 1, gated != 0);
        expect_same_as_widened(kernels, DTYPE_BF16, 17, 63, gated != 0);
        expect_same_as_widened(kernels, DTYPE_F16, 33, 64, gated != 0);
        expect_same_as_widened(kernels, DTYPE_BF16, 40, 65, gated != 0);
        expect_same_as_widened(kernels, DTYPE_F16, 300, 117, gated != 0);
    }
}

int main(void)
{
    test_all_numbers(DTYPE_F16, 5);
    test_all_numbers(DTYPE_BF16, 8);
    test_known_numbers();
    each_kernels(test_narrow);
    return 0;
}
