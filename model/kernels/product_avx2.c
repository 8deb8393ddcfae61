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
static inline __attribute__((always_inline)) void
fill(size_t rows, enum panel_type type, const struct product_place *place)
{
    __m256 low[ROWS], high[ROWS];
    size_t inputs = place->p->inputs, stride = place->p->in_stride;
    const float *in = place->in;
    const void *panel = place->panels;
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
        low[r] = high[r] = _mm256_setzero_ps();
    for (size_t i = 0; i < inputs; i++) {
        __m256 a = load(type, panel, i * PANEL), b = load(type, panel, i * PANEL + LANES);
        product_ask_ahead(place, i);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss(in + r * stride + i);
            low[r] = _mm256_fmadd_ps(x, a, low[r]);
            high[r] = _mm256_fmadd_ps(x, b, high[r]);
        }
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        float *sums = place->sums + r * place->sums_stride;
        _mm256_storeu_ps(sums, low[r]);
        _mm256_storeu_ps(sums + LANES, high[r]);
    }
}

static inline __attribute__((always_inline)) void
fill_rows(size_t rows, enum panel_type type, const struct product_place *place)
{
    switch (rows) {
    case 1:
        fill(1, type, place);
        break;
    case 2:
        fill(2, type, place);
        break;
    case 3:
        fill(3, type, place);
        break;
    case 4:
        fill(4, type, place);
        break;
    case 5:
        fill(5, type, place);
        break;
    case 6:
        fill(6, type, place);
        break;
    default:
        break;
    }
}

static void part(size_t rows, const struct product_place *place)
{
    switch (place->p->type) {
    case PANEL_F32:
        fill_rows(rows, PANEL_F32, place);
        break;
    case PANEL_F16:
        fill_rows(rows, PANEL_F16, place);
        break;
    case PANEL_BF16:
        fill_rows(rows, PANEL_BF16, place);
        break;
    }
}

static void tile(size_t rows, size_t n_panels, const struct product_place *place)
{
    const struct product *p = place->p;
    const unsigned char *panels = place->panels;
    size_t panel = PANEL * p->inputs * product_value_size(p->type);
    for (size_t i = 0; i < n_panels; i++) {
        for (size_t first = 0; first < rows; first += ROWS) {
            struct product_place share = *place;
            share.in += first * p->in_stride;
            share.panels = panels + i * panel;
            share.sums += first * place->sums_stride + i * PANEL;
            /* One of the parts asks: its inputs are as many as the tile's. */
            share.ahead_step = i == 0 && first == 0 ? place->ahead_step : 0;
            part(size_min(ROWS, rows - first), &share);
        }
    }
}

void product_avx2(const struct product *product)
{
    product_over_tiles(product, tile);
}
