#include "model/kernels/rotary.h"

#include "base/elementary.h"

void rotary_angles(
    double position, double theta, size_t dimensions, float *cosine, float *sine)
{
    double logarithm = elementary_log(theta);
    for (size_t k = 0; k < dimensions / 2; k++) {
        double frequency =
            elementary_exp(-2.0 * (double)k / (double)dimensions * logarithm);
        cosine[k] = (float)elementary_cos(position * frequency);
        sine[k] = (float)elementary_sin(position * frequency);
    }
}
