/*
 * linear - a fully connected layer: out = in weightT + bias, and what follows the sum.
 *
 * Weights are packed once, in the type of their file: a 16-bit weight stays 16 bits wide
 * in memory and is widened, exactly, as it is read.
 *
 * Threads: constant after loading; any number may apply at once. Ownership: the data
 * belongs to whoever loaded it (weights.h).
 */
#ifndef SLUICE_MODEL_LINEAR_H
#define SLUICE_MODEL_LINEAR_H

#include "model/kernels/kernels.h"
#include "model/safetensors.h"

#include <stdbool.h>
#include <stddef.h>

struct linear {
    size_t inputs, outputs; /* outputs: as many as are stored */
    bool gated;             /* out = silu(gate) * gated, each of them `outputs` wide */
    enum dtype dtype;       /* F32, F16 or BF16 */
    const void *data;       /* packed panels of that type (kernels/product.h) */
    const float *bias;      /* [outputs], or NULL */
};

/* Bytes an element takes in memory. */
size_t linear_element_size(enum dtype dtype);

/* n values of the given type as float32. */
void linear_widen(enum dtype dtype, const void *data, size_t n, float *out);

/* The rows that linear_apply works on; strides count floats between rows. */
struct linear_rows {
    size_t rows;
    const float *in;
    size_t in_stride;
    float *out;
    size_t out_stride;
    bool add;          /* out += gate * result rather than out = result */
    const float *gate; /* [outputs] when adding; NULL: 1 */
};

/* The type of a layer's panels. */
enum panel_type linear_panel_type(const struct linear *linear);

/* Some of a layer's outputs as a layer of its own. `first` is a multiple of LINEAR_PART,
 * and so is first + outputs unless that is where the layer ends. Not of a gated layer. */
enum { LINEAR_PART = 2 * PANEL };
struct linear linear_part(const struct linear *linear, size_t first, size_t outputs);

/* The work in independent units, each some of the outputs. `is_first`: the unit's weights
 * were not used just before, for other rows. */
size_t linear_units(const struct linear *linear);
void linear_apply_unit(const struct kernels *kernels,
                       const struct linear *linear,
                       const struct linear_rows *rows,
                       bool is_first,
                       size_t unit);

/* All of them, one after the other. */
void linear_apply(const struct kernels *kernels,
                  const struct linear *linear,
                  const struct linear_rows *rows);

#endif
