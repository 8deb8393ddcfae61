/*
 * matrix - the product that nearly all of a model's time goes into.
 *
 * The result of a row depends on the number of rows of the call and on the row's place
 * in it (OpenBLAS's kernels for Haswell and Zen work so), and on nothing else: whoever
 * promises the same bytes for the same item calls with that item's rows alone.
 *
 * Threads: any number may multiply at once; each call runs on its caller's thread.
 * Ownership: arrays are borrowed for the call.
 */
#ifndef SLUICE_MODEL_KERNELS_MATRIX_H
#define SLUICE_MODEL_KERNELS_MATRIX_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* out[r][o] = sum over i of in[r][i] * weight[o][i]   (+ bias[o])
 * Strides count floats from one row to the next. */
struct matrix_product {
    size_t rows, inputs, outputs;
    const float *in; /* [rows, inputs] */
    size_t in_stride;
    const float *weight; /* [outputs, inputs]; [inputs, outputs] when input_major */
    size_t weight_stride;
    bool input_major;
    const float *bias; /* [outputs], or NULL */
    float *out;        /* [rows, outputs] */
    size_t out_stride;
};

/* Keeps OpenBLAS to the calling thread. Call once, before other threads start. */
void matrix_init(void);

void matrix_multiply(const struct matrix_product *product);

/* The definition, in double: what the tests and matrix_check compare with. */
double matrix_element(const struct matrix_product *product, size_t row, size_t output);

/* Multiplies pseudo-random matrices of this shape and compares up to 1,024 elements,
 * spread over all rows and columns, with the definition: some OpenBLAS builds compute
 * wrong results on processors newer than themselves. ERR_INTERNAL names the shape. */
enum err_code matrix_check(size_t rows, size_t inputs, size_t outputs, struct err *err);

#endif
