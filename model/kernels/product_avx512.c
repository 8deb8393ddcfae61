#include "model/kernels/kernels.h"
#include "model/kernels/product_tiles.h"

#include <immintrin.h>

#include <stdint.h>

/* The 16 values from v on, as float32. */
static inline __attribute__((always_inline)) __m512
load(enum panel_type type, const void *panel, size_t v)
{
    const uint16_t *narrow = panel;
    if (type == PANEL_F32)
        return _mm512_loadu_ps((const float *)panel + v);
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)(narrow + v));
    if (type == PANEL_F16)
        return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* `rows`, `n_panels` and `type` are constants where this is inlined and the loops are
 * unrolled, so that the sums live in registers: 24 of the 32 for 12 rows and 2 panels. */
static inline __attribute__((always_inline)) void fill(size_t rows,
                                                       size_t n_panels,
                                                       enum panel_type type,
                                                       const struct product_place *place)
{
    __m512 first[PRODUCT_ROWS], second[PRODUCT_ROWS];
    size_t inputs = place->p->inputs, stride = place->p->in_stride;
    size_t other = inputs * PANEL;
    const float *in = place->in;
    const void *panels = place->panels;
    float *sums = place->sums;
    size_t sums_stride = place->sums_stride;
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
        first[r] = second[r] = _mm512_setzero_ps();
    for (size_t i = 0; i < inputs; i++) {
        __m512 a = load(type, panels, i * PANEL), b = a;
        if (n_panels == 2)
            b = load(type, panels, other + i * PANEL);
        product_ask_ahead(place, i);
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++) {
            __m512 x = _mm512_set1_ps(in[r * stride + i]);
            first[r] = _mm512_fmadd_ps(x, a, first[r]);
            if (n_panels == 2)
                second[r] = _mm512_fmadd_ps(x, b, second[r]);
        }
    }
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++) {
        _mm512_storeu_ps(sums + r * sums_stride, first[r]);
        if (n_panels == 2)
            _mm512_storeu_ps(sums + r * sums_stride + PANEL, second[r]);
    }
}

static inline __attribute__((always_inline)) void fill_rows(
    size_t rows, size_t n_panels, enum panel_type type, const struct product_place *place)
{
    switch (rows) {
    case 1:
        fill(1, n_panels, type, place);
        break;
    case 2:
        fill(2, n_panels, type, place);
        break;
    case 3:
        fill(3, n_panels, type, place);
        break;
    case 4:
        fill(4, n_panels, type, place);
        break;
    case 5:
        fill(5, n_panels, type, place);
        break;
    case 6:
        fill(6, n_panels, type, place);
        break;
    case 7:
        fill(7, n_panels, type, place);
        break;
    case 8:
        fill(8, n_panels, type, place);
        break;
    case 9:
        fill(9, n_panels, type, place);
        break;
    case 10:
        fill(10, n_panels, type, place);
        break;
    case 11:
        fill(11, n_panels, type, place);
        break;
    case 12:
        fill(12, n_panels, type, place);
        break;
    default:
        break;
    }
}

static inline __attribute__((always_inline)) void fill_panels(
    size_t rows, size_t n_panels, enum panel_type type, const struct product_place *place)
{
    if (n_panels == 2)
        fill_rows(rows, 2, type, place);
    else
        fill_rows(rows, 1, type, place);
}

static void tile(size_t rows, size_t n_panels, const struct product_place *place)
{
    switch (place->p->type) {
    case PANEL_F32:
        fill_panels(rows, n_panels, PANEL_F32, place);
        break;
    case PANEL_F16:
        fill_panels(rows, n_panels, PANEL_F16, place);
        break;
    case PANEL_BF16:
        fill_panels(rows, n_panels, PANEL_BF16, place);
        break;
    }
}

void product_avx512(const struct product *product)
{
    product_over_tiles(product, tile);
}
