#include "model/linear.h"

#include "base/size.h"
#include "model/kernels/half.h"

#include <stdint.h>
#include <string.h>

enum {
    PAIR = 2 * PANEL,
    UNIT_PAIRS = 2 /* pairs of panels of a unit */
};

size_t linear_element_size(enum dtype dtype)
{
    return dtype == DTYPE_F32 ? sizeof(float) : sizeof(uint16_t);
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
            out[i] = half_from_brain(narrow[i]);
    } else {
        for (size_t i = 0; i < n; i++)
            out[i] = half_from_binary16(narrow[i]);
    }
}

enum panel_type linear_panel_type(const struct linear *linear)
{
    if (linear->dtype == DTYPE_F32)
        return PANEL_F32;
    return linear->dtype == DTYPE_F16 ? PANEL_F16 : PANEL_BF16;
}

/* Outputs that a unit stores. */
static size_t unit_width(const struct linear *linear)
{
    return UNIT_PAIRS * (linear->gated ? PANEL : PAIR);
}

size_t linear_units(const struct linear *linear)
{
    size_t width = unit_width(linear);
    return linear->outputs / width + (linear->outputs % width != 0);
}

struct linear linear_part(const struct linear *linear, size_t first, size_t outputs)
{
    const unsigned char *panels = linear->data;
    struct linear part = *linear;
    part.outputs = outputs;
    part.data = panels + first * linear->inputs * linear_element_size(linear->dtype);
    part.bias = linear->bias != NULL ? linear->bias + first : NULL;
    return part;
}

/* Outputs from `first` on, of one array of rows. */
static struct product
product_of(const struct linear *linear, const struct linear_rows *rows, size_t first)
{
    size_t values = first * linear->inputs * (linear->gated ? 2 : 1);
    const unsigned char *panels = linear->data;
    enum product_end end = rows->add ? PRODUCT_ADD : PRODUCT_STORE;
    return (struct product){
        .rows = rows->rows,
        .inputs = linear->inputs,
        .outputs = size_min(unit_width(linear), linear->outputs - first),
        .in = rows->in,
        .in_stride = rows->in_stride,
        .panels = panels + values * linear_element_size(linear->dtype),
        .type = linear_panel_type(linear),
        .out = rows->out + first,
        .out_stride = rows->out_stride,
        .end = linear->gated ? PRODUCT_GATED : end,
        .bias = linear->bias != NULL ? linear->bias + first : NULL,
        .gate = rows->gate != NULL ? rows->gate + first : NULL,
    };
}

void linear_apply_unit(const struct kernels *kernels,
                       const struct linear *linear,
                       const struct linear_rows *rows,
                       bool is_first,
                       size_t unit)
{
    size_t first = unit * unit_width(linear);
    struct product product = product_of(linear, rows, first);
    if (is_first)
        product.pairs_ahead =
            UNIT_PAIRS + (first + product.outputs < linear->outputs ? 1 : 0);
    kernels->product(&product);
}

void linear_apply(const struct kernels *kernels,
                  const struct linear *linear,
                  const struct linear_rows *rows)
{
    for (size_t unit = 0; unit < linear_units(linear); unit++)
        linear_apply_unit(kernels, linear, rows, true, unit);
}
