#include "model/kernels/activation.h"

#include <math.h>

static float silu(float x)
{
    return x / (1.0f + expf(-x));
}

void activation_silu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = silu(x[i]);
}

void activation_gated(const float *gate, const float *up, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = silu(gate[i]) * up[i];
}

void activation_add_gated(float *restrict x,
                          const float *restrict gate,
                          const float *restrict y,
                          size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += gate[i] * y[i];
}

void activation_add(float *restrict x, const float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}
