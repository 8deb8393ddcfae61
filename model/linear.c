#include "model/linear.h"

#include "base/size.h"
#include "model/kernels/matrix.h"

#include <string.h>

enum {
    /* From this many elements on a narrow tensor stays narrow: 16 MiB as float32. */
    LARGE = 4 * 1024 * 1024,
    /* Outputs whose weights are widened at a time: 3,072 inputs make 768 KiB. */
    PANEL_OUTPUTS = 64
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
    return size_multiply(PANEL_OUTPUTS, inputs);
}

void linear_apply(const struct linear *linear,
                  const struct linear_rows *rows,
                  float *panel)
{
    bool widens = linear->dtype != DTYPE_F32;
    size_t step = widens ? PANEL_OUTPUTS : linear->outputs;
    for (size_t first = 0; first < linear->outputs; first += step) {
        size_t outputs = size_min(step, linear->outputs - first);
        const float *weight = linear->data;
        if (widens) {
            const uint16_t *narrow = linear->data;
            linear_widen(linear->dtype, narrow + first * linear->inputs,
                         outputs * linear->inputs, panel);
            weight = panel;
        }
        struct matrix_product product = {
            .rows = rows->rows,
            .inputs = linear->inputs,
            .outputs = outputs,
            .in = rows->in,
            .in_stride = rows->in_stride,
            .weight = weight,
            .weight_stride = linear->inputs,
            .bias = linear->bias != NULL ? linear->bias + first : NULL,
            .out = rows->out + first,
            .out_stride = rows->out_stride,
        };
        matrix_multiply(&product);
    }
}
