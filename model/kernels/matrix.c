#include "model/kernels/matrix.h"

#include "base/size.h"

#include <cblas.h>

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

void matrix_init(void)
{
    openblas_set_num_threads(1);
}

void matrix_multiply(const struct matrix_product *p)
{
    assert(p->rows <= INT_MAX && p->inputs <= INT_MAX && p->outputs <= INT_MAX);
    assert(p->in_stride <= INT_MAX && p->weight_stride <= INT_MAX);
    assert(p->out_stride <= INT_MAX);

    if (p->bias != NULL) {
        for (size_t r = 0; r < p->rows; r++) {
            for (size_t o = 0; o < p->outputs; o++)
                p->out[r * p->out_stride + o] = p->bias[o];
        }
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, p->input_major ? CblasNoTrans : CblasTrans,
                (int)p->rows, (int)p->outputs, (int)p->inputs, 1.0f, p->in,
                (int)p->in_stride, p->weight, (int)p->weight_stride,
                p->bias != NULL ? 1.0f : 0.0f, p->out, (int)p->out_stride);
}

double matrix_element(const struct matrix_product *p, size_t row, size_t output)
{
    double sum = p->bias != NULL ? (double)p->bias[output] : 0.0;
    for (size_t i = 0; i < p->inputs; i++) {
        size_t at = p->input_major ? i * p->weight_stride + output
                                   : output * p->weight_stride + i;
        sum += (double)p->in[row * p->in_stride + i] * (double)p->weight[at];
    }
    return sum;
}

/* Values of both signs with all mantissa bits in use, from a linear congruence. */
static void fill(float *values, size_t n, uint32_t state)
{
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(int32_t)state * 0x1p-31f;
    }
}

static enum err_code compare(const struct matrix_product *p, struct err *err)
{
    enum { MOST = 1024 };
    size_t all = p->rows * p->outputs;
    /* A step that shares no factor with small tile sizes walks over every place that an
     * element can have in a kernel's tile. */
    size_t step = all <= MOST ? 1 : (all / MOST) | 1;
    double allowed = 1e-6 * sqrt((double)p->inputs) + 1e-6;
    for (size_t at = 0; at < all; at += step) {
        size_t row = at / p->outputs, output = at % p->outputs;
        double expected = matrix_element(p, row, output);
        double found = (double)p->out[row * p->out_stride + output];
        if (!(fabs(found - expected) <= allowed))
            return err_set(err, ERR_INTERNAL,
                           "OpenBLAS multiplies [%zu, %zu] by [%zu, %zu] wrongly on this "
                           "processor: element (%zu, %zu) is %g, expected %g; set "
                           "OPENBLAS_CORETYPE (Haswell, Zen, Prescott) to choose another "
                           "kernel, or install a newer OpenBLAS",
                           p->rows, p->inputs, p->outputs, p->inputs, row, output, found,
                           expected);
    }
    return ERR_OK;
}

enum err_code matrix_check(size_t rows, size_t inputs, size_t outputs, struct err *err)
{
    assert(rows > 0 && inputs > 0 && outputs > 0);
    size_t n_in = size_multiply(rows, inputs), n_weight = size_multiply(outputs, inputs);
    size_t n = size_add(size_add(n_in, n_weight), size_multiply(rows, outputs));
    float *memory = n > SIZE_MAX / 2 / sizeof(float) ? NULL : malloc(n * sizeof(float));
    if (memory == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory to check the matrix product");

    fill(memory, n_in, 1);
    fill(memory + n_in, n_weight, 2);
    struct matrix_product product = {
        .rows = rows,
        .inputs = inputs,
        .outputs = outputs,
        .in = memory,
        .in_stride = inputs,
        .weight = memory + n_in,
        .weight_stride = inputs,
        .out = memory + n_in + n_weight,
        .out_stride = outputs,
    };
    matrix_multiply(&product);
    enum err_code code = compare(&product, err);
    free(memory);
    return code;
}
