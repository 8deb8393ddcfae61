#include "model/kernels/kernels.h"
#include "model/kernels/product_tiles.h"

#include <immintrin.h>

/* `rows` is a constant where this is inlined and the loops are unrolled, so that the sums
 * live in registers: 24 of the 32 for 12 rows. */
static inline __attribute__((always_inline)) void fill(size_t rows,
                                                       size_t inputs,
                                                       const float *in,
                                                       size_t in_stride,
                                                       const float *panels,
                                                       float *sums)
{
    __m512 first[PRODUCT_ROWS], second[PRODUCT_ROWS];
    const float *other = panels + inputs * PANEL;
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
        first[r] = second[r] = _mm512_setzero_ps();
    for (size_t i = 0; i < inputs; i++) {
        __m512 a = _mm512_loadu_ps(panels + i * PANEL),
               b = _mm512_loadu_ps(other + i * PANEL);
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++) {
            __m512 x = _mm512_set1_ps(in[r * in_stride + i]);
            first[r] = _mm512_fmadd_ps(x, a, first[r]);
            second[r] = _mm512_fmadd_ps(x, b, second[r]);
        }
    }
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++) {
        _mm512_storeu_ps(sums + r * PAIR, first[r]);
        _mm512_storeu_ps(sums + r * PAIR + PANEL, second[r]);
    }
}

static void tile(size_t rows,
                 size_t inputs,
                 const float *in,
                 size_t in_stride,
                 const float *panels,
                 float *sums)
{
    switch (rows) {
    case 1:
        fill(1, inputs, in, in_stride, panels, sums);
        break;
    case 2:
        fill(2, inputs, in, in_stride, panels, sums);
        break;
    case 3:
        fill(3, inputs, in, in_stride, panels, sums);
        break;
    case 4:
        fill(4, inputs, in, in_stride, panels, sums);
        break;
    case 5:
        fill(5, inputs, in, in_stride, panels, sums);
        break;
    case 6:
        fill(6, inputs, in, in_stride, panels, sums);
        break;
    case 7:
        fill(7, inputs, in, in_stride, panels, sums);
        break;
    case 8:
        fill(8, inputs, in, in_stride, panels, sums);
        break;
    case 9:
        fill(9, inputs, in, in_stride, panels, sums);
        break;
    case 10:
        fill(10, inputs, in, in_stride, panels, sums);
        break;
    case 11:
        fill(11, inputs, in, in_stride, panels, sums);
        break;
    case 12:
        fill(12, inputs, in, in_stride, panels, sums);
        break;
    default:
        break;
    }
}

void product_avx512(const struct product *product)
{
    product_over_tiles(product, tile);
}
