#include "model/kernels/kernels.h"
#include "model/kernels/product_tiles.h"

#include <immintrin.h>

#include <stdint.h>

enum { ROWS = 6, LANES = 8 };

/* The 8 values from v on, as float32. */
static inline __attribute__((always_inline)) __m256
load(enum panel_type type, const void *panel, size_t v)
{
    const uint16_t *narrow = panel;
    if (type == PANEL_F32)
        return _mm256_loadu_ps((const float *)panel + v);
    __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(narrow + v));
    if (type == PANEL_F16)
        return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* One panel. `rows` and `type` are constants where this is inlined and the loops are
 * unrolled, so that the sums live in registers: 12 of the 16 for 6 rows. */
static inline __attribute__((always_inline)) void fill(size_t rows,
                                                       enum panel_type type,
                                                       const struct product *p,
                                                       const float *in,
                                                       const void *panel,
                                                       float *sums)
{
    __m256 low[ROWS], high[ROWS];
    size_t inputs = p->inputs, stride = p->in_stride;
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
        low[r] = high[r] = _mm256_setzero_ps();
    for (size_t i = 0; i < inputs; i++) {
        __m256 a = load(type, panel, i * PANEL), b = load(type, panel, i * PANEL + LANES);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss(in + r * stride + i);
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

static inline __attribute__((always_inline)) void fill_rows(size_t rows,
                                                            enum panel_type type,
                                                            const struct product *p,
                                                            const float *in,
                                                            const void *panel,
                                                            float *sums)
{
    switch (rows) {
    case 1:
        fill(1, type, p, in, panel, sums);
        break;
    case 2:
        fill(2, type, p, in, panel, sums);
        break;
    case 3:
        fill(3, type, p, in, panel, sums);
        break;
    case 4:
        fill(4, type, p, in, panel, sums);
        break;
    case 5:
        fill(5, type, p, in, panel, sums);
        break;
    case 6:
        fill(6, type, p, in, panel, sums);
        break;
    default:
        break;
    }
}

static void part(
    size_t rows, const struct product *p, const float *in, const void *panel, float *sums)
{
    switch (p->type) {
    case PANEL_F32:
        fill_rows(rows, PANEL_F32, p, in, panel, sums);
        break;
    case PANEL_F16:
        fill_rows(rows, PANEL_F16, p, in, panel, sums);
        break;
    case PANEL_BF16:
        fill_rows(rows, PANEL_BF16, p, in, panel, sums);
        break;
    }
}

static void tile(size_t rows, size_t n_panels, const struct product_place *place)
{
    const struct product *p = place->p;
    const unsigned char *bytes = place->panels;
    size_t panel = PANEL * p->inputs * product_value_size(p->type);
    for (size_t i = 0; i < n_panels; i++) {
        for (size_t first = 0; first < rows; first += ROWS)
            part(size_min(ROWS, rows - first), p, place->in + first * p->in_stride,
                 bytes + i * panel, place->sums + first * PAIR + i * PANEL);
    }
}

void product_avx2(const struct product *product)
{
    product_over_tiles(product, tile);
}
