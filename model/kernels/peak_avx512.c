#include "model/kernels/peak.h"

#include <immintrin.h>

enum { LANES = 16 };

double peak_avx512(size_t length, float *sink)
{
    __m512 chains[PEAK_CHAINS], sum = _mm512_setzero_ps();
    __m512 factor = _mm512_set1_ps(0.999f), half = _mm512_set1_ps(0.5f);
    float lanes[LANES];
#pragma GCC unroll 12
    for (size_t c = 0; c < PEAK_CHAINS; c++)
        chains[c] = _mm512_set1_ps((float)c);
    for (size_t i = 0; i < length; i++) {
#pragma GCC unroll 12
        for (size_t c = 0; c < PEAK_CHAINS; c++)
            chains[c] = _mm512_fmadd_ps(chains[c], factor, half);
    }
#pragma GCC unroll 12
    for (size_t c = 0; c < PEAK_CHAINS; c++)
        sum = _mm512_add_ps(sum, chains[c]);
    _mm512_storeu_ps(lanes, sum);
    *sink = lanes[0] + lanes[LANES - 1];
    return 2.0 * LANES * PEAK_CHAINS * (double)length;
}
