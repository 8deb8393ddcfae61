#include "model/linear.h"

#include "base/size.h"

#include <stdint.h>
#include <string.h>

enum {
    /* From this many elements on a narrow tensor stays narrow: 16 MiB as float32. */
    LARGE = 4 * 1024 * 1024,
    PAIR = 2 * PANEL, /* rows of a narrow weight that are widened and packed at a time */
    UNIT_PAIRS = 2    /* pairs of panels of a unit */
};

size_t linear_element_size(enum dtype dtype)
{
    return dtype == DTYPE_F32 ? sizeof(float) : sizeof(uint16_t);
}

enum dtype linear_kept_type(enum dtype in_file, size_t elements)
{
    return elements >= LARGE ? in_file : DTYPE_F32;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* IEEE 754 binary16; the subnormals are multiples of 2^-24. */
static float from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1Fu, mantissa = half & 0x3FFu;
    if (exponent == 0) {
        float magnitude = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    if (exponent == 0x1F)
        return from_bits(sign | 0x7F800000u | mantissa << 13);
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

void linear_widen(enum dtype dtype, const void *data, size_t n, float *out)
{
    if (dtype == DTYPE_F32) {
        memcpy(out, data, n * sizeof(float));
        return;
    }
    const uint16_t *narrow = data;
    if (dtype == DTYPE_BF16) {
        for (size_t i = 0; i < n; i++)
            out[i] = from_bits((uint32_t)narrow[i] << 16);
    } else {
        for (size_t i = 0; i < n; i++)
            out[i] = from_half(narrow[i]);
    }
}

size_t linear_panel(size_t inputs)
{
    return size_multiply(2 * PAIR, inputs); /* widened rows, and their panels */
}

/* Widens `count` rows of a narrow weight from row `first` on. */
static void
widen_rows(const struct linear *linear, size_t first, size_t count, float *out)
{
    const uint16_t *narrow = linear->data;
    linear_widen(linear->dtype, narrow + first * linear->inputs, count * linear->inputs,
                 out);
}

/* Outputs that a pair of panels stores. */
static size_t pair_width(const struct linear *linear)
{
    return linear->gated ? PANEL : PAIR;
}

/* The part of a product that stores `count` outputs from `first` on; panels apart. */
static struct product part_of(struct product product, size_t first, size_t count)
{
    product.outputs = count;
    product.out += first;
    if (product.gate != NULL)
        product.gate += first;
    if (product.bias != NULL)
        product.bias += first;
    return product;
}

/* Some pairs of panels of a narrow weight, each widened and packed in front of its
 * product. */
static void apply_narrow(const struct kernels *kernels,
                         const struct linear *linear,
                         const struct product *whole,
                         size_t first,
                         float *panel)
{
    size_t inputs = linear->inputs, width = pair_width(linear);
    size_t end = size_min(first + UNIT_PAIRS * width, linear->outputs);
    float *rows = panel, *packed = panel + PAIR * inputs;
    for (; first < end; first += width) {
        size_t count = size_min(width, end - first);
        struct product product = part_of(*whole, first, count);
        widen_rows(linear, first, count, rows);
        if (linear->gated) {
            widen_rows(linear, linear->outputs + first, count, rows + PANEL * inputs);
            product_pack_gated(rows, rows + PANEL * inputs, count, inputs, packed);
        } else {
            product_pack(rows, inputs, count, inputs, packed);
        }
        product.panels = packed;
        kernels->product(&product);
    }
}

size_t linear_units(const struct linear *linear)
{
    size_t width = UNIT_PAIRS * pair_width(linear);
    return linear->outputs / width + (linear->outputs % width != 0);
}

void linear_apply_unit(const struct kernels *kernels,
                       const struct linear *linear,
                       const struct linear_rows *rows,
                       size_t unit,
                       float *panel)
{
    size_t width = UNIT_PAIRS * pair_width(linear), first = unit * width;
    struct product product = {
        .rows = rows->rows,
        .inputs = linear->inputs,
        .outputs = linear->outputs,
        .in = rows->in,
        .in_stride = rows->in_stride,
        .out = rows->out,
        .out_stride = rows->out_stride,
        .end = PRODUCT_STORE,
        .bias = linear->bias,
        .gate = rows->gate,
    };
    if (linear->gated)
        product.end = PRODUCT_GATED;
    else if (rows->add)
        product.end = PRODUCT_ADD;
    if (linear->dtype != DTYPE_F32) {
        apply_narrow(kernels, linear, &product, first, panel);
        return;
    }
    const float *panels = linear->data;
    product = part_of(product, first, size_min(width, linear->outputs - first));
    product.panels = panels + unit * UNIT_PAIRS * PAIR * linear->inputs;
    kernels->product(&product);
}

void linear_apply(const struct kernels *kernels,
                  const struct linear *linear,
                  const struct linear_rows *rows,
                  float *panel)
{
    for (size_t unit = 0; unit < linear_units(linear); unit++)
        linear_apply_unit(kernels, linear, rows, unit, panel);
}
