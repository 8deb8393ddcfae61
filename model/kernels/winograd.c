/* Compiled once for each instruction set; the build defines WINOGRAD as the table's name.
 */
#include "model/kernels/winograd.h"

#include <string.h>

/* Channels at a time, whatever the width of a vector. */
enum { LANES = 16 };

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

/* The two forms of a tile differ in its side and in the transform. These are inlined with
 * both as constants, so that the loops unroll and the planes stay in registers. */
typedef void transform(planes v, size_t first, size_t step);

static inline __attribute__((always_inline)) void in_lanes(const struct winograd_in *tile,
                                                           size_t c,
                                                           size_t lanes,
                                                           size_t side,
                                                           transform *transform_in)
{
    planes v;
    if (lanes < LANES)
        memset(v, 0, sizeof(v));
    read_planes(tile->in + c, tile->row_stride, tile->pixel_stride, side, lanes, v);
#pragma GCC unroll 16
    for (size_t i = 0; i < side; i++)
        transform_in(v, i * side, 1);
#pragma GCC unroll 16
    for (size_t i = 0; i < side; i++)
        transform_in(v, i, side);
    write_planes((const float(*)[LANES])v, side * side, tile->plane_stride, lanes,
                 tile->out + c);
}

static inline __attribute__((always_inline)) void
in_all(const struct winograd_in *tile, size_t side, transform *transform_in)
{
    size_t c = 0;
    for (; c + LANES <= tile->channels; c += LANES)
        in_lanes(tile, c, LANES, side, transform_in);
    if (c < tile->channels)
        in_lanes(tile, c, tile->channels - c, side, transform_in);
}

static void winograd_in(const struct winograd_in *tile)
{
    in_all(tile, WINOGRAD_SIDE, before);
}

static void winograd_in_doubled(const struct winograd_in *tile)
{
    in_all(tile, WINOGRAD_DOUBLED_SIDE, before_doubled);
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
out_lanes(const struct winograd_out *tile,
          size_t c,
          size_t lanes,
          size_t side,
          transform *transform_out)
{
    size_t stride = tile->plane_stride;
    planes v;
    if (lanes < LANES)
        memset(v, 0, sizeof(v));
    read_planes(tile->in + c, side * stride, stride, side, lanes, v);
#pragma GCC unroll 16
    for (size_t i = 0; i < side; i++)
        transform_out(v, i, side);
#pragma GCC unroll 16
    for (size_t i = 0; i < 2; i++)
        transform_out(v, i * side, 1);
    write_pixels(tile, c, side, lanes, v);
}

static inline __attribute__((always_inline)) void
out_all(const struct winograd_out *tile, size_t side, transform *transform_out)
{
    size_t c = 0;
    for (; c + LANES <= tile->channels; c += LANES)
        out_lanes(tile, c, LANES, side, transform_out);
    if (c < tile->channels)
        out_lanes(tile, c, tile->channels - c, side, transform_out);
}

static void winograd_out(const struct winograd_out *tile)
{
    out_all(tile, WINOGRAD_SIDE, behind);
}

static void winograd_out_doubled(const struct winograd_out *tile)
{
    out_all(tile, WINOGRAD_DOUBLED_SIDE, behind_doubled);
}

const struct winograd WINOGRAD = {
    .in = winograd_in,
    .in_doubled = winograd_in_doubled,
    .out = winograd_out,
    .out_doubled = winograd_out_doubled,
};
