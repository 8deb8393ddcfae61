#include "model/kernels/kernels.h"
#include "model/kernels/product_tiles.h"

#include <immintrin.h>

enum { ROWS = 6, LANES = 8 };

/* One panel. `rows` is a constant where this is inlined and the loops are unrolled, so
 * that the sums live in registers: 12 of the 16 for 6 rows. */
static inline __attribute__((always_inline)) void fill(size_t rows,
                                                       const struct product *p,
                                                       const float *in,
                                                       const float *panel,
                                                       float *sums)
{
    __m256 low[ROWS], high[ROWS];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
        low[r] = high[r] = _mm256_setzero_ps();
    for (size_t i = 0; i < p->inputs; i++) {
        __m256 a = _mm256_loadu_ps(panel + i * PANEL);
        __m256 b = _mm256_loadu_ps(panel + i * PANEL + LANES);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss(in + r * p->in_stride + i);
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
                 const struct product *p,
                 const float *in,
                 const float *panel,
                 float *sums)
{
    switch (rows) {
    case 1:
        fill(1, p, in, panel, sums);
        break;
    case 2:
        fill(2, p, in, panel, sums);
        break;
    case 3:
        fill(3, p, in, panel, sums);
        break;
    case 4:
        fill(4, p, in, panel, sums);
        break;
    case 5:
        fill(5, p, in, panel, sums);
        break;
    case 6:
        fill(6, p, in, panel, sums);
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
    for (size_t i = 0; i < n_panels; i++) {
        const float *panel = panels + i * PANEL * p->inputs;
        for (size_t first = 0; first < rows; first += ROWS)
            part(size_min(ROWS, rows - first), p, in + first * p->in_stride, panel,
                 sums + first * PAIR + i * PANEL);
    }
}

void product_avx2(const struct product *product)
{
    product_over_tiles(product, tile);
}
