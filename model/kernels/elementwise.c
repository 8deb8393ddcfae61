/* Compiled once for each instruction set; the build defines ELEMENTWISE and WINOGRAD as
 * the tables' names. */
#include "model/kernels/elementwise.h"

#include "model/kernels/exponential.h"

#include <math.h>

/* Sums side by side: the compiler makes vectors of them, and their order does not depend
 * on how wide those are. */
enum { LANES = 16 };

static float lanes_total(const float lanes[LANES])
{
    float half[LANES / 2];
    for (size_t l = 0; l < 8; l++)
        half[l] = lanes[l] + lanes[l + 8];
    for (size_t l = 0; l < 4; l++)
        half[l] += half[l + 4];
    return (half[0] + half[2]) + (half[1] + half[3]);
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
            lanes[l] = fmaf(d, d, lanes[l]);
        }
    }
    for (; i < n; i++) {
        float d = x[i] - mean;
        lanes[i % LANES] = fmaf(d, d, lanes[i % LANES]);
    }
    return lanes_total(lanes);
}

static void norm_rms(const struct norm_rms *norm)
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

static void norm_modulated(const struct norm_modulated *norm)
{
    size_t n = norm->n;
    for (size_t r = 0; r < norm->rows; r++) {
        const float *in = norm->in + r * n;
        float *out = norm->out + r * n;
        float mean = sum(in, n) / (float)n;
        float variance = sum_of_squares(in, n, mean) / (float)n;
        float inverse = 1.0f / sqrtf(variance + norm->epsilon);
        for (size_t i = 0; i < n; i++)
            out[i] =
                fmaf((in[i] - mean) * inverse, 1.0f + norm->scale[i], norm->shift[i]);
    }
}

static size_t pixels_of(const struct norm_group *norm, size_t unit)
{
    size_t left = norm->pixels - unit * NORM_PIXELS;
    return left < NORM_PIXELS ? left : NORM_PIXELS;
}

/* One sum a channel, so that vectors go across channels. */
static void group_sums(const struct norm_group *norm, size_t unit, double *sums)
{
    size_t channels = norm->channels;
    const float *in = norm->in + unit * NORM_PIXELS * channels;
    double *restrict total = sums, *restrict squares = sums + channels;
    for (size_t c = 0; c < channels; c++)
        total[c] = squares[c] = 0.0;
    for (size_t p = 0; p < pixels_of(norm, unit); p++, in += channels) {
        for (size_t c = 0; c < channels; c++) {
            double x = (double)in[c];
            total[c] += x;
            squares[c] = fma(x, x, squares[c]);
        }
    }
}

static void
group_factors(const struct norm_group *norm, const double *sums, float *factors)
{
    size_t channels = norm->channels, width = channels / norm->groups;
    double count = (double)norm->pixels * (double)width;
    for (size_t first = 0; first < channels; first += width) {
        double mean = 0.0, mean_square = 0.0;
        for (size_t unit = 0; unit < norm_group_units(norm); unit++) {
            const double *of_unit = sums + unit * norm_group_sums(norm);
            for (size_t c = first; c < first + width; c++) {
                mean += of_unit[c];
                mean_square += of_unit[channels + c];
            }
        }
        mean /= count;
        double variance = mean_square / count - mean * mean;
        variance = variance > 0.0 ? variance : 0.0;
        double inverse = 1.0 / sqrt(variance + (double)norm->epsilon);
        for (size_t c = first; c < first + width; c++) {
            factors[c] = (float)mean;
            factors[channels + c] = (float)(inverse * (double)norm->weight[c]);
        }
    }
}

static void group_apply(const struct norm_group *norm, size_t unit, const float *factors)
{
    size_t channels = norm->channels, first = unit * NORM_PIXELS * channels;
    const float *restrict means = factors, *restrict scales = factors + channels;
    const float *restrict bias = norm->bias, *in = norm->in + first;
    float *out = norm->out + first;
    for (size_t p = 0; p < pixels_of(norm, unit); p++, in += channels, out += channels) {
        if (norm->silu) {
            for (size_t c = 0; c < channels; c++)
                out[c] = sigmoid_linear(fmaf(in[c] - means[c], scales[c], bias[c]));
        } else {
            for (size_t c = 0; c < channels; c++)
                out[c] = fmaf(in[c] - means[c], scales[c], bias[c]);
        }
    }
}

static void add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

static void
rotate_neighbours(float *x, size_t half, const float *cosine, const float *sine)
{
    for (size_t j = 0; j < half; j++) {
        float a = x[2 * j], b = x[2 * j + 1];
        x[2 * j] = a * cosine[j] - b * sine[j];
        x[2 * j + 1] = b * cosine[j] + a * sine[j];
    }
}

static void rotate_halves(float *x, size_t half, const float *cosine, const float *sine)
{
    for (size_t j = 0; j < half; j++) {
        float a = x[j], b = x[j + half];
        x[j] = a * cosine[j] - b * sine[j];
        x[j + half] = b * cosine[j] + a * sine[j];
    }
}

static void rotary(const struct rotary *rotary)
{
    size_t half = rotary->head_size / 2;
    void (*rotate)(float *, size_t, const float *, const float *) =
        rotary->pairs == ROTARY_NEIGHBOURS ? rotate_neighbours : rotate_halves;
    for (size_t t = 0; t < rotary->tokens; t++) {
        for (size_t h = 0; h < rotary->heads; h++)
            rotate(rotary->x + t * rotary->stride + h * rotary->head_size, half,
                   rotary->cosine + t * half, rotary->sine + t * half);
    }
}

static inline void keep_larger(float *lanes, const float *x, size_t n)
{
    /* Kept a loop, it becomes a vector's comparison. */
#pragma GCC unroll 1
    for (size_t l = 0; l < n; l++)
        lanes[l] = x[l] > lanes[l] ? x[l] : lanes[l];
}

/* n is at least 1. */
static float largest(const float *x, size_t n)
{
    float lanes[LANES];
    size_t i = LANES;
    if (n < LANES) {
        for (size_t l = 0; l < LANES; l++)
            lanes[l] = x[l < n ? l : 0];
    } else {
        for (size_t l = 0; l < LANES; l++)
            lanes[l] = x[l];
    }
    for (; i + LANES <= n; i += LANES)
        keep_larger(lanes, x + i, LANES);
    if (i < n)
        keep_larger(lanes, x + i, n - i);
    keep_larger(lanes, lanes + 8, 8);
    keep_larger(lanes, lanes + 4, 4);
    keep_larger(lanes, lanes + 2, 2);
    return lanes[1] > lanes[0] ? lanes[1] : lanes[0];
}

static float softmax(float *scores, size_t n, size_t padded, float scale)
{
    float most = largest(scores, n), lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            float power = exponential((scores[i + l] - most) * scale);
            scores[i + l] = power;
            lanes[l] += power;
        }
    }
    for (; i < n; i++) {
        scores[i] = exponential((scores[i] - most) * scale);
        lanes[i % LANES] += scores[i];
    }
    for (; i < padded; i++)
        scores[i] = 0.0f;
    return lanes_total(lanes);
}

static void silu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = sigmoid_linear(x[i]);
}

static void gated(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = sigmoid_linear(gate[i]) * up[i];
}

const struct elementwise ELEMENTWISE = {
    .norm_rms = norm_rms,
    .norm_modulated = norm_modulated,
    .group_sums = group_sums,
    .group_factors = group_factors,
    .group_apply = group_apply,
    .rotary = rotary,
    .winograd = &WINOGRAD,
    .softmax = softmax,
    .silu = silu,
    .gated = gated,
    .add = add,
};
