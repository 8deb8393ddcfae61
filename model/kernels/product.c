#include "model/kernels/product.h"

#include "base/size.h"

#include <stdint.h>
#include <string.h>

size_t product_panels(size_t outputs)
{
    return 2 * (outputs / (2 * PANEL) + (outputs % (2 * PANEL) != 0));
}

size_t product_value_size(enum panel_type type)
{
    return type == PANEL_F32 ? sizeof(float) : sizeof(uint16_t);
}

size_t product_packed_size(size_t outputs, size_t inputs)
{
    return size_multiply(size_multiply(product_panels(outputs), PANEL), inputs);
}

size_t product_gated_size(size_t outputs, size_t inputs)
{
    size_t pairs = outputs / PANEL + (outputs % PANEL != 0);
    return size_multiply(size_multiply(pairs, 2 * PANEL), inputs);
}

/* One panel of up to PANEL rows of the weight; `lanes` may be 0. */
static void
pack_panel(const float *weight, size_t stride, size_t lanes, size_t inputs, float *panel)
{
    if (lanes < PANEL)
        memset(panel, 0, PANEL * inputs * sizeof(*panel));
    for (size_t l = 0; l < lanes; l++) {
        for (size_t i = 0; i < inputs; i++)
            panel[i * PANEL + l] = weight[l * stride + i];
    }
}

/* How many of `outputs` are in panel p. */
static size_t lanes_of(size_t p, size_t outputs)
{
    size_t first = p * PANEL;
    return first < outputs ? size_min(PANEL, outputs - first) : 0;
}

void product_pack(
    const float *weight, size_t stride, size_t outputs, size_t inputs, float *panels)
{
    for (size_t p = 0; p < product_panels(outputs); p++) {
        size_t lanes = lanes_of(p, outputs);
        const float *rows = lanes > 0 ? weight + p * PANEL * stride : weight;
        pack_panel(rows, stride, lanes, inputs, panels + p * PANEL * inputs);
    }
}

void product_pack_gated(
    const float *gate, const float *gated, size_t outputs, size_t inputs, float *panels)
{
    size_t pairs = outputs / PANEL + (outputs % PANEL != 0);
    for (size_t p = 0; p < pairs; p++) {
        size_t lanes = lanes_of(p, outputs), at = p * PANEL * inputs;
        pack_panel(gate + at, inputs, lanes, inputs, panels + 2 * at);
        pack_panel(gated + at, inputs, lanes, inputs, panels + 2 * at + PANEL * inputs);
    }
}

void product_pack_columns(
    const float *weight, size_t stride, size_t outputs, size_t inputs, float *panels)
{
    for (size_t p = 0; p < product_panels(outputs); p++) {
        size_t lanes = lanes_of(p, outputs);
        float *panel = panels + p * PANEL * inputs;
        if (lanes < PANEL)
            memset(panel, 0, PANEL * inputs * sizeof(*panel));
        for (size_t i = 0; lanes == PANEL && i < inputs; i++)
            memcpy(panel + i * PANEL, weight + i * stride + p * PANEL,
                   PANEL * sizeof(*panel)); /* of a known size: without a call */
        for (size_t i = 0; lanes > 0 && lanes < PANEL && i < inputs; i++)
            memcpy(panel + i * PANEL, weight + i * stride + p * PANEL,
                   lanes * sizeof(*panel));
    }
}
