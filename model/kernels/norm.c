#include "model/kernels/norm.h"

#include <math.h>

/* Eight sums side by side: the compiler makes vectors of them, and their order does not
 * depend on how many rows a call has. */
enum { LANES = 8 };

static float lanes_total(const float lanes[LANES])
{
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
           ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

static float sum(const float *x, size_t n)
{
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += x[i + l];
    }
    for (; i < n; i++)
        lanes[i % LANES] += x[i];
    return lanes_total(lanes);
}

/* Sum of (x - mean)^2. */
static float sum_of_squares(const float *x, size_t n, float mean)
{
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            float d = x[i + l] - mean;
            lanes[l] += d * d;
        }
    }
    for (; i < n; i++) {
        float d = x[i] - mean;
        lanes[i % LANES] += d * d;
    }
    return lanes_total(lanes);
}

void norm_rms(const struct norm_rms *norm)
{
    for (size_t r = 0; r < norm->rows; r++) {
        const float *in = norm->in + r * norm->in_stride;
        float *out = norm->out + r * norm->out_stride;
        float mean_square = sum_of_squares(in, norm->n, 0.0f) / (float)norm->n;
        float inverse = 1.0f / sqrtf(mean_square + norm->epsilon);
        for (size_t i = 0; i < norm->n; i++)
            out[i] = in[i] * inverse * norm->weight[i];
    }
}

void norm_modulated(const struct norm_modulated *norm)
{
    size_t n = norm->n;
    for (size_t r = 0; r < norm->rows; r++) {
        const float *in = norm->in + r * n;
        float *out = norm->out + r * n;
        float mean = sum(in, n) / (float)n;
        float variance = sum_of_squares(in, n, mean) / (float)n;
        float inverse = 1.0f / sqrtf(variance + norm->epsilon);
        for (size_t i = 0; i < n; i++)
            out[i] = (in[i] - mean) * inverse * (1.0f + norm->scale[i]) + norm->shift[i];
    }
}

static void group_moments(const struct norm_group *norm,
                          size_t first_channel,
                          double *mean,
                          double *variance)
{
    /* Double, because a group of a large picture sums millions of values. */
    size_t width = norm->channels / norm->groups;
    double total = 0.0, squares = 0.0, count = (double)norm->pixels * (double)width;
    for (size_t p = 0; p < norm->pixels; p++) {
        const float *in = norm->in + p * norm->channels + first_channel;
        for (size_t c = 0; c < width; c++)
            total += (double)in[c];
    }
    *mean = total / count;
    for (size_t p = 0; p < norm->pixels; p++) {
        const float *in = norm->in + p * norm->channels + first_channel;
        for (size_t c = 0; c < width; c++) {
            double d = (double)in[c] - *mean;
            squares += d * d;
        }
    }
    *variance = squares / count;
}

void norm_group(const struct norm_group *norm)
{
    size_t width = norm->channels / norm->groups;
    for (size_t g = 0; g < norm->groups; g++) {
        double mean, variance;
        group_moments(norm, g * width, &mean, &variance);
        float inverse = (float)(1.0 / sqrt(variance + (double)norm->epsilon));
        for (size_t p = 0; p < norm->pixels; p++) {
            size_t at = p * norm->channels + g * width;
            for (size_t c = 0; c < width; c++) {
                float x = (norm->in[at + c] - (float)mean) * inverse;
                norm->out[at + c] =
                    x * norm->weight[g * width + c] + norm->bias[g * width + c];
            }
        }
    }
}
