/*
 * product - rows times packed weights, and what is done with each sum before it is
 * stored.
 *
 * Weights are packed once into panels of 16 outputs:
 *
 *   panels[p][i][l] = weight[16 p + l][i]      p < panels, i < inputs, l < 16
 *
 * with zeros where there is no output 16 p + l; their number is even. Every output is one
 * accumulator to which its products are added by fused multiply-add, i ascending, from
 * zero. So a sum depends neither on the number of rows, nor on the row's place, nor on
 * the instruction set, and scalar, AVX2 and AVX-512 code give the same bits.
 *
 * Threads: pure. Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_KERNELS_PRODUCT_H
#define SLUICE_MODEL_KERNELS_PRODUCT_H

#include <stddef.h>

enum { PANEL = 16 };

/* What the panels hold. The narrow types are widened, exactly, as they are read: half the
 * memory traffic for the same sums. */
enum panel_type { PANEL_F32, PANEL_F16, PANEL_BF16 };

enum product_end {
    /* out = sum + bias */
    PRODUCT_STORE,
    /* out += gate * (sum + bias); gate has one value an output: a block's result enters
     * the residual stream. gate NULL: 1. */
    PRODUCT_ADD,
    /* Panels alternate: 16 outputs of a gate, 16 of what it gates, and so on.
     * out = silu(gate) * gated, half as many as there are outputs (Shazeer 2020,
     * SwiGLU). `outputs` counts those that are stored. */
    PRODUCT_GATED,
};

struct product {
    size_t rows, inputs, outputs;
    const float *in; /* [rows, inputs] */
    size_t in_stride;
    const void *panels;
    enum panel_type type; /* of the panels */
    float *out;           /* [rows, outputs] */
    size_t out_stride;
    enum product_end end;
    const float *bias; /* [outputs], or NULL; not for PRODUCT_GATED */
    const float *gate; /* [outputs], or NULL; PRODUCT_ADD only */

    /* So many pairs of panels, these and what lies behind them, are read from memory
     * soon: each is asked for while the one before it is in use. */
    size_t pairs_ahead;
};

/* Panels that so many outputs take: an even number. */
size_t product_panels(size_t outputs);

/* Bytes of a value in a panel. */
size_t product_value_size(enum panel_type type);

/* Values that their panels take. */
size_t product_packed_size(size_t outputs, size_t inputs);

/* The same for a gate and what it gates, of `outputs` each. */
size_t product_gated_size(size_t outputs, size_t inputs);

/* Packs weight, [outputs, inputs] with `stride` floats from row to row. */
void product_pack(
    const float *weight, size_t stride, size_t outputs, size_t inputs, float *panels);

/* Packs a gate and what it gates, [outputs, inputs] each, into alternating panels. */
void product_pack_gated(
    const float *gate, const float *gated, size_t outputs, size_t inputs, float *panels);

/* The same for a weight that is [inputs, outputs]. */
void product_pack_columns(
    const float *weight, size_t stride, size_t outputs, size_t inputs, float *panels);

#endif
