#include "model/kernels/kernels.h"

#include "base/size.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static bool always(void)
{
    return true;
}

#if defined(__x86_64__)
/* CPUID leaf 1, ECX bit 29 (Intel SDM, vol. 2, table 3-10); not every compiler's
 * __builtin_cpu_supports knows it. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 29 & 1) != 0;
}

static bool has_avx2(void)
{
    return has_f16c() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

/* The fastest first. Scalar code needs a library call for each fused multiply-add on
 * x86-64, so OpenBLAS comes before it. */
static const struct row {
    struct kernels kernels;
    bool (*runs)(void);
} rows[] = {
#if defined(__x86_64__)
    {{"avx512", product_avx512, &elementwise_avx512}, has_avx512},
    {{"avx2", product_avx2, &elementwise_avx2}, has_avx2},
#endif
    {{"openblas", product_openblas, &elementwise_scalar}, always},
    {{"scalar", product_scalar, &elementwise_scalar}, always},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

const char *kernels_arithmetic(const struct kernels *kernels)
{
    return kernels->product == product_openblas ? kernels->name : "ordered";
}

const struct kernels *kernels_at(size_t i, bool *runs)
{
    if (i >= ROWS)
        return NULL;
    *runs = rows[i].runs();
    return &rows[i].kernels;
}

enum err_code
kernels_choose(const struct kernels **out, const char *name, struct err *err)
{
    bool is_open = name == NULL || *name == '\0';
    for (size_t i = 0; i < ROWS; i++) {
        if (!is_open && strcmp(name, rows[i].kernels.name) != 0)
            continue;
        if (rows[i].runs()) {
            *out = &rows[i].kernels;
            return ERR_OK;
        }
        if (!is_open)
            return err_set(err, ERR_UNSUPPORTED,
                           "kernels %s: this processor has no such instructions", name);
    }
    return err_set(err, ERR_INVALID,
                   "kernels %.40s: expected scalar, avx2, avx512 or openblas", name);
}

/* Values of both signs with all mantissa bits in use, from a linear congruence. */
static void fill(float *values, size_t n, uint32_t state)
{
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(int32_t)state * 0x1p-31f;
    }
}

/* The sum in double; *magnitude becomes that of its terms without their signs, to which
 * rounding errors are in proportion. */
static double element(const struct product *p,
                      const float *weight,
                      size_t row,
                      size_t output,
                      double *magnitude)
{
    double total = 0.0;
    *magnitude = 0.0;
    for (size_t i = 0; i < p->inputs; i++) {
        double term = (double)p->in[row * p->in_stride + i] *
                      (double)weight[output * p->inputs + i];
        total += term;
        *magnitude += fabs(term);
    }
    return total;
}

static enum err_code
compare(const char *name, const struct product *p, const float *weight, struct err *err)
{
    enum { MOST = 1024 };
    size_t all = p->rows * p->outputs;
    /* A step that shares no factor with small tile sizes walks over every place that an
     * element can have in a kernel's tile. */
    size_t step = all <= MOST ? 1 : (all / MOST) | 1;
    double magnitude;
    for (size_t at = 0; at < all; at += step) {
        size_t row = at / p->outputs, output = at % p->outputs;
        double expected = element(p, weight, row, output, &magnitude);
        double found = (double)p->out[row * p->out_stride + output];
        if (!(fabs(found - expected) <= 1e-6 * magnitude + 1e-9))
            return err_set(
                err, ERR_INTERNAL,
                "the %s kernels multiply [%zu, %zu] by [%zu, %zu] wrongly on this "
                "processor: element (%zu, %zu) is %g, expected %g; choose others by "
                "SLUICE_KERNELS (scalar, avx2, avx512, openblas), and for openblas "
                "another OPENBLAS_CORETYPE (Haswell, Zen, Prescott)",
                name, p->rows, p->inputs, p->outputs, p->inputs, row, output, found,
                expected);
    }
    return ERR_OK;
}

enum err_code kernels_check(const struct kernels *kernels,
                            size_t rows_of_in,
                            size_t inputs,
                            size_t outputs,
                            struct err *err)
{
    size_t n_in = size_multiply(rows_of_in, inputs),
           n_weight = size_multiply(outputs, inputs);
    size_t n_packed = product_packed_size(outputs, inputs);
    size_t n = size_add(size_add(n_in, n_weight),
                        size_add(n_packed, size_multiply(rows_of_in, outputs)));
    float *memory =
        n == 0 || n > SIZE_MAX / 2 / sizeof(float) ? NULL : malloc(n * sizeof(float));
    if (memory == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory to check the matrix product");

    float *weight = memory + n_in, *panels = weight + n_weight;
    fill(memory, n_in, 1);
    fill(weight, n_weight, 2);
    product_pack(weight, inputs, outputs, inputs, panels);
    struct product product = {
        .rows = rows_of_in,
        .inputs = inputs,
        .outputs = outputs,
        .in = memory,
        .in_stride = inputs,
        .panels = panels,
        .out = panels + n_packed,
        .out_stride = outputs,
    };
    kernels->product(&product);
    enum err_code code = compare(kernels->name, &product, weight, err);
    free(memory);
    return code;
}
