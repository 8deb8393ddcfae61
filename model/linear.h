/*
 * linear - a fully connected layer: out = in weightT + bias, and what follows the sum.
 *
 * Small weights are widened to float32 and packed once. Large ones of a 16-bit file stay
 * 16 bits wide in memory, which halves a big model, and are widened and packed a pair of
 * panels at a time in front of the product; with the hundreds of rows that such a model
 * has, that costs little.
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
    enum dtype dtype;       /* F32: packed panels; F16, BF16: rows as in the file */
    const void *data;       /* narrow: [outputs, inputs], of `gated` behind its gate's */
    const float *bias;      /* [outputs], or NULL */
};

/* Bytes an element takes in memory. */
size_t linear_element_size(enum dtype dtype);

/* The type in which a tensor of this many elements is kept: its own when it is narrow
 * and large, else F32. */
enum dtype linear_kept_type(enum dtype in_file, size_t elements);

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

/* The work in independent units, each some of the outputs. panel has room for
 * linear_panel() floats, and may be NULL when the layer is F32. */
size_t linear_units(const struct linear *linear);
void linear_apply_unit(const struct kernels *kernels,
                       const struct linear *linear,
                       const struct linear_rows *rows,
                       size_t unit,
                       float *panel);

/* All of them, one after the other. */
void linear_apply(const struct kernels *kernels,
                  const struct linear *linear,
                  const struct linear_rows *rows,
                  float *panel);

/* Floats of scratch for layers of at most this many inputs. */
size_t linear_panel(size_t inputs);

#endif
