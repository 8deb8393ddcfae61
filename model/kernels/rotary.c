#include "model/kernels/rotary.h"

#include <math.h>

void rotary_angles(
    double position, double theta, size_t dimensions, float *cosine, float *sine)
{
    for (size_t k = 0; k < dimensions / 2; k++) {
        double angle = position * pow(theta, -2.0 * (double)k / (double)dimensions);
        cosine[k] = (float)cos(angle);
        sine[k] = (float)sin(angle);
    }
}

void rotary_apply(const struct rotary *rotary)
{
    size_t half = rotary->head_size / 2;
    size_t step = rotary->pairs == ROTARY_NEIGHBOURS ? 2 : 1;
    size_t apart = rotary->pairs == ROTARY_NEIGHBOURS ? 1 : half;

    for (size_t t = 0; t < rotary->tokens; t++) {
        const float *cosine = rotary->cosine + t * half;
        const float *sine = rotary->sine + t * half;
        for (size_t h = 0; h < rotary->heads; h++) {
            float *x = rotary->x + t * rotary->stride + h * rotary->head_size;
            for (size_t j = 0; j < half; j++) {
                float *a = x + j * step, *b = a + apart;
                float turned = *a * cosine[j] - *b * sine[j];
                *b = *b * cosine[j] + *a * sine[j];
                *a = turned;
            }
        }
    }
}
