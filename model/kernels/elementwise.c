/* Compiled once for each instruction set; the build defines ELEMENTWISE as the table's
 * name. */
#include "model/kernels/elementwise.h"

#include "model/kernels/exponential.h"

#include <math.h>
#include <string.h>

/* Sums side by side: the compiler makes vectors of them, and their order does not depend
 * on how wide those are. */
enum { LANES = 16 };

static float lanes_total(const float lanes[LANES])
{
    float half[LANES];
    for (size_t l = 0; l < LANES; l++)
        half[l] = lanes[l];
    for (size_t width = LANES / 2; width > 0; width /= 2) {
        for (size_t l = 0; l < width; l++)
            half[l] += half[l + width];
    }
    return half[0];
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

/* The planes of LANES channels side by side. */
enum { PLANES = WINOGRAD_SIDE * WINOGRAD_SIDE };
typedef float planes[PLANES][LANES];

/* `lanes` is a constant where this is inlined for all but the last channels: a vector. */
static inline void copy_lanes(float *restrict out, const float *restrict in, size_t lanes)
{
    memcpy(out, in, lanes * sizeof(*out));
}

static inline void read_planes(const float *in,
                               size_t row_stride,
                               size_t stride,
                               size_t side,
                               size_t lanes,
                               planes out)
{
#pragma GCC unroll 16
    for (size_t y = 0; y < side; y++) {
#pragma GCC unroll 16
        for (size_t x = 0; x < side; x++)
            copy_lanes(out[y * side + x], in + y * row_stride + x * stride, lanes);
    }
}

static inline void
write_planes(const planes in, size_t n, size_t stride, size_t lanes, float *out)
{
#pragma GCC unroll 16
    for (size_t p = 0; p < n; p++)
        copy_lanes(out + p * stride, in[p], lanes);
}

/* BT of four values that lie `step` apart. */
static inline void before(planes v, size_t first, size_t step)
{
    float *restrict a = v[first], *restrict b = v[first + step];
    float *restrict c = v[first + 2 * step], *restrict d = v[first + 3 * step];
    for (size_t l = 0; l < LANES; l++) {
        float middle = b[l];
        a[l] -= c[l];
        b[l] += c[l];
        d[l] = middle - d[l];
        c[l] -= middle;
    }
}

/* The same of a, b, b, c, without the zero. */
static inline void before_doubled(planes v, size_t first, size_t step)
{
    float *restrict a = v[first], *restrict b = v[first + step];
    float *restrict c = v[first + 2 * step];
    for (size_t l = 0; l < LANES; l++) {
        a[l] -= b[l];
        c[l] = b[l] - c[l];
        b[l] += b[l];
    }
}

static inline __attribute__((always_inline)) void
in_lanes(const struct winograd_in *tile, size_t c, size_t lanes)
{
    enum { SIDE = WINOGRAD_SIDE };
    planes v;
    if (lanes < LANES)
        memset(v, 0, sizeof(v));
    read_planes(tile->in + c, tile->row_stride, tile->pixel_stride, SIDE, lanes, v);
#pragma GCC unroll 16
    for (size_t i = 0; i < SIDE; i++)
        before(v, i * SIDE, 1);
#pragma GCC unroll 16
    for (size_t i = 0; i < SIDE; i++)
        before(v, i, SIDE);
    write_planes((const float(*)[LANES])v, SIDE * SIDE, tile->plane_stride, lanes,
                 tile->out + c);
}

static void winograd_in(const struct winograd_in *tile)
{
    size_t c = 0;
    for (; c + LANES <= tile->channels; c += LANES)
        in_lanes(tile, c, LANES);
    if (c < tile->channels)
        in_lanes(tile, c, tile->channels - c);
}

static inline __attribute__((always_inline)) void
in_doubled_lanes(const struct winograd_in *tile, size_t c, size_t lanes)
{
    enum { SIDE = WINOGRAD_DOUBLED_SIDE };
    planes v;
    if (lanes < LANES)
        memset(v, 0, sizeof(v));
    read_planes(tile->in + c, tile->row_stride, tile->pixel_stride, SIDE, lanes, v);
#pragma GCC unroll 16
    for (size_t i = 0; i < SIDE; i++)
        before_doubled(v, i * SIDE, 1);
#pragma GCC unroll 16
    for (size_t i = 0; i < SIDE; i++)
        before_doubled(v, i, SIDE);
    write_planes((const float(*)[LANES])v, SIDE * SIDE, tile->plane_stride, lanes,
                 tile->out + c);
}

static void winograd_in_doubled(const struct winograd_in *tile)
{
    size_t c = 0;
    for (; c + LANES <= tile->channels; c += LANES)
        in_doubled_lanes(tile, c, LANES);
    if (c < tile->channels)
        in_doubled_lanes(tile, c, tile->channels - c);
}

/* AT of four values that lie `step` apart, into the first two. */
static inline void behind(planes v, size_t first, size_t step)
{
    float *restrict a = v[first], *restrict b = v[first + step];
    const float *restrict c = v[first + 2 * step], *restrict d = v[first + 3 * step];
    for (size_t l = 0; l < LANES; l++) {
        a[l] = a[l] + b[l] + c[l];
        b[l] = b[l] - c[l] - d[l];
    }
}

static inline void behind_doubled(planes v, size_t first, size_t step)
{
    float *restrict a = v[first], *restrict b = v[first + step];
    const float *restrict d = v[first + 2 * step];
    for (size_t l = 0; l < LANES; l++) {
        a[l] += b[l];
        b[l] -= d[l];
    }
}

/* Results with bias and residual, where they belong; `side` planes a row. */
static inline void write_pixels(
    const struct winograd_out *tile, size_t c, size_t side, size_t lanes, planes v)
{
    float bias[LANES] = {0}, residual[LANES] = {0};
    copy_lanes(bias, tile->bias + c, lanes);
#pragma GCC unroll 16
    for (size_t p = 0; p < WINOGRAD_PIXELS; p++) {
        float *out = v[p / 2 * side + p % 2];
        for (size_t l = 0; l < LANES; l++)
            out[l] += bias[l];
        if (tile->residual != NULL) {
            copy_lanes(residual, tile->residual[p] + c, lanes);
            for (size_t l = 0; l < LANES; l++)
                out[l] += residual[l];
        }
        copy_lanes(tile->out[p] + c, out, lanes);
    }
}

static inline __attribute__((always_inline)) void
out_lanes(const struct winograd_out *tile, size_t c, size_t lanes)
{
    enum { SIDE = WINOGRAD_SIDE };
    size_t stride = tile->plane_stride;
    planes v;
    if (lanes < LANES)
        memset(v, 0, sizeof(v));
    read_planes(tile->in + c, SIDE * stride, stride, SIDE, lanes, v);
#pragma GCC unroll 16
    for (size_t i = 0; i < SIDE; i++)
        behind(v, i, SIDE);
#pragma GCC unroll 16
    for (size_t i = 0; i < 2; i++)
        behind(v, i * SIDE, 1);
    write_pixels(tile, c, SIDE, lanes, v);
}

static void winograd_out(const struct winograd_out *tile)
{
    size_t c = 0;
    for (; c + LANES <= tile->channels; c += LANES)
        out_lanes(tile, c, LANES);
    if (c < tile->channels)
        out_lanes(tile, c, tile->channels - c);
}

static inline __attribute__((always_inline)) void
out_doubled_lanes(const struct winograd_out *tile, size_t c, size_t lanes)
{
    enum { SIDE = WINOGRAD_DOUBLED_SIDE };
    size_t stride = tile->plane_stride;
    planes v;
    if (lanes < LANES)
        memset(v, 0, sizeof(v));
    read_planes(tile->in + c, SIDE * stride, stride, SIDE, lanes, v);
#pragma GCC unroll 16
    for (size_t i = 0; i < SIDE; i++)
        behind_doubled(v, i, SIDE);
#pragma GCC unroll 16
    for (size_t i = 0; i < 2; i++)
        behind_doubled(v, i * SIDE, 1);
    write_pixels(tile, c, SIDE, lanes, v);
}

static void winograd_out_doubled(const struct winograd_out *tile)
{
    size_t c = 0;
    for (; c + LANES <= tile->channels; c += LANES)
        out_doubled_lanes(tile, c, LANES);
    if (c < tile->channels)
        out_doubled_lanes(tile, c, tile->channels - c);
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

static float largest(const float *x, size_t n)
{
    float lanes[LANES];
    for (size_t l = 0; l < LANES; l++)
        lanes[l] = x[l < n ? l : 0];
    for (size_t i = LANES; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++)
            lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    }
    for (size_t i = n / LANES * LANES; i < n; i++)
        lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
    for (size_t l = 1; l < LANES; l++)
        lanes[0] = lanes[l] > lanes[0] ? lanes[l] : lanes[0];
    return lanes[0];
}

static void softmax(float *scores, size_t n, size_t padded, float scale)
{
    float most = largest(scores, n);
    for (size_t i = 0; i < n; i++)
        scores[i] = exponential((scores[i] - most) * scale);
    float inverse = 1.0f / sum(scores, n);
    for (size_t i = 0; i < n; i++)
        scores[i] *= inverse;
    for (size_t i = n; i < padded; i++)
        scores[i] = 0.0f;
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
    .winograd_in = winograd_in,
    .winograd_in_doubled = winograd_in_doubled,
    .winograd_out = winograd_out,
    .winograd_out_doubled = winograd_out_doubled,
    .softmax = softmax,
    .silu = silu,
    .gated = gated,
    .add = add,
};
