#include "model/kernels/kernels.h"
#include "model/kernels/product_tiles.h"

#include <immintrin.h>

enum { ROWS = 6, LANES = 8 };

/* One panel. `rows` is a constant where this is inlined and the loops are unrolled, so
 * that the sums live in registers: 12 of the 16 for 6 rows. */
static inline __attribute__((always_inline)) void fill(size_t rows,
                                                       size_t inputs,
                                                       const float *in,
                                                       size_t in_stride,
                                                       const float *panel,
                                                       float *sums)
{
    __m256 low[ROWS], high[ROWS];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
        low[r] = high[r] = _mm256_setzero_ps();
    for (size_t i = 0; i < inputs; i++) {
        __m256 a = _mm256_loadu_ps(panel + i * PANEL);
        __m256 b = _mm256_loadu_ps(panel + i * PANEL + LANES);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss(in + r * in_stride + i);
            low[r] = _mm256_fmadd_ps(x, a, low[r]);
            high[r] = _mm256_fmadd_ps(x, b, high[r]);
        }
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        _mm256_storeu_ps(sums + r * PAIR, low[r]);
        _mm256_storeu_ps(sums + r * PAIR + LANES, high[r]);
    }
}

static void part(size_t rows,
                 size_t inputs,
                 const float *in,
                 size_t in_stride,
                 const float *panel,
                 float *sums)
{
    switch (rows) {
    case 1:
        fill(1, inputs, in, in_stride, panel, sums);
        break;
    case 2:
        fill(2, inputs, in, in_stride, panel, sums);
        break;
    case 3:
        fill(3, inputs, in, in_stride, panel, sums);
        break;
    case 4:
        fill(4, inputs, in, in_stride, panel, sums);
        break;
    case 5:
        fill(5, inputs, in, in_stride, panel, sums);
        break;
    case 6:
        fill(6, inputs, in, in_stride, panel, sums);
        break;
    default:
        break;
    }
}

static void tile(size_t rows,
                 size_t inputs,
                 const float *in,
                 size_t in_stride,
                 const float *panels,
                 float *sums)
{
    for (size_t p = 0; p < 2; p++) {
        const float *panel = panels + p * PANEL * inputs;
        for (size_t first = 0; first < rows; first += ROWS)
            part(size_min(ROWS, rows - first), inputs, in + first * in_stride, in_stride,
                 panel, sums + first * PAIR + p * PANEL);
    }
}

void product_avx2(const struct product *product)
{
    product_over_tiles(product, tile);
}
