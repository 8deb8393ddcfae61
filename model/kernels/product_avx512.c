#include "model/kernels/kernels.h"
#include "model/kernels/product_tiles.h"

#include <immintrin.h>

/* `rows` and `n_panels` are constants where this is inlined and the loops are unrolled,
 * so that the sums live in registers: 24 of the 32 for 12 rows and 2 panels. */
static inline __attribute__((always_inline)) void fill(size_t rows,
                                                       size_t n_panels,
                                                       const struct product *p,
                                                       const float *in,
                                                       const float *panels,
                                                       float *sums)
{
    __m512 first[PRODUCT_ROWS], second[PRODUCT_ROWS];
    const float *other = panels + (n_panels - 1) * p->inputs * PANEL;
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
        first[r] = second[r] = _mm512_setzero_ps();
    for (size_t i = 0; i < p->inputs; i++) {
        __m512 a = _mm512_loadu_ps(panels + i * PANEL);
        __m512 b = _mm512_loadu_ps(other + i * PANEL);
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++) {
            __m512 x = _mm512_set1_ps(in[r * p->in_stride + i]);
            first[r] = _mm512_fmadd_ps(x, a, first[r]);
            if (n_panels == 2)
                second[r] = _mm512_fmadd_ps(x, b, second[r]);
        }
    }
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++) {
        _mm512_storeu_ps(sums + r * PAIR, first[r]);
        if (n_panels == 2)
            _mm512_storeu_ps(sums + r * PAIR + PANEL, second[r]);
    }
}

static inline __attribute__((always_inline)) void fill_rows(size_t rows,
                                                            size_t n_panels,
                                                            const struct product *p,
                                                            const float *in,
                                                            const float *panels,
                                                            float *sums)
{
    switch (rows) {
    case 1:
        fill(1, n_panels, p, in, panels, sums);
        break;
    case 2:
        fill(2, n_panels, p, in, panels, sums);
        break;
    case 3:
        fill(3, n_panels, p, in, panels, sums);
        break;
    case 4:
        fill(4, n_panels, p, in, panels, sums);
        break;
    case 5:
        fill(5, n_panels, p, in, panels, sums);
        break;
    case 6:
        fill(6, n_panels, p, in, panels, sums);
        break;
    case 7:
        fill(7, n_panels, p, in, panels, sums);
        break;
    case 8:
        fill(8, n_panels, p, in, panels, sums);
        break;
    case 9:
        fill(9, n_panels, p, in, panels, sums);
        break;
    case 10:
        fill(10, n_panels, p, in, panels, sums);
        break;
    case 11:
        fill(11, n_panels, p, in, panels, sums);
        break;
    case 12:
        fill(12, n_panels, p, in, panels, sums);
        break;
    default:
        break;
    }
}

static void tile(size_t rows,
                 size_t n_panels,
                 const struct product *p,
                 const float *in,
                 const float *panels,
                 float *sums)
{
    if (n_panels == 2)
        fill_rows(rows, 2, p, in, panels, sums);
    else
        fill_rows(rows, 1, p, in, panels, sums);
}

void product_avx512(const struct product *product)
{
    product_over_tiles(product, tile);
}
