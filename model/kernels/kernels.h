/*
 * kernels - the inner loops for one instruction set, as a table of functions.
 *
 * Scalar, AVX2 and AVX-512 give the same bits, and so does a table for a processor that
 * has none of them. OpenBLAS is there as well: on processors for which this has no code,
 * and as the judge of the others; its sums depend on the number of rows.
 *
 * Threads: constant tables of pure functions. Ownership: static.
 */
#ifndef SLUICE_MODEL_KERNELS_KERNELS_H
#define SLUICE_MODEL_KERNELS_KERNELS_H

#include "base/err.h"
#include "model/kernels/elementwise.h"
#include "model/kernels/product.h"

#include <stdbool.h>
#include <stddef.h>

struct kernels {
    const char *name; /* "scalar", "avx2", "avx512", "openblas" */
    void (*product)(const struct product *product);
    const struct elementwise *each;
};

/* The table of that name; NULL or "": the fastest that this processor has. ERR_INVALID
 * for a name that there is not, ERR_UNSUPPORTED for one that this processor cannot run.
 */
enum err_code
kernels_choose(const struct kernels **out, const char *name, struct err *err);

/* Tables for which this is the same word give the same bits. */
const char *kernels_arithmetic(const struct kernels *kernels);

/* The i-th table that this build knows, NULL behind the last; *runs says whether this
 * processor can run it. For tests and benches. */
const struct kernels *kernels_at(size_t i, bool *runs);

/* Keeps OpenBLAS to the calling thread. Call once, before other threads start. */
void kernels_init(void);

/* Multiplies pseudo-random matrices of this shape with the table's product and compares
 * up to 1,024 elements, spread over all rows and columns, with sums in double: some
 * OpenBLAS builds compute wrong results on processors newer than themselves. ERR_INTERNAL
 * names the shape. */
enum err_code kernels_check(const struct kernels *kernels,
                            size_t rows,
                            size_t inputs,
                            size_t outputs,
                            struct err *err);

void product_scalar(const struct product *product);
void product_avx2(const struct product *product);
void product_avx512(const struct product *product);
void product_openblas(const struct product *product);

#endif
