#include "model/kernels/convolution.h"

#include "base/size.h"

#include <string.h>

enum {
    TAPS = 3, /* a kernel's side */
    TILE = 2, /* outputs of a tile, down and across */
    PIXELS = WINOGRAD_PIXELS,
    MOST_SIDE = WINOGRAD_SIDE,
    MOST_PLANES = MOST_SIDE * MOST_SIDE,
    MOST_TILES = 48, /* of a unit */
    SHARES = 16      /* that a picture has at least, where its size allows */
};

static size_t side_of(bool doubled)
{
    return doubled ? WINOGRAD_DOUBLED_SIDE : WINOGRAD_SIDE;
}

size_t convolution_packed_size(size_t outputs, size_t inputs, bool doubled)
{
    size_t side = side_of(doubled);
    return size_multiply(side * side, product_packed_size(outputs, inputs));
}

/* (G g GT)[row][column] of one 3x3 kernel. */
static float transformed(const float *g, const double *row, const double *column)
{
    double sum = 0.0;
    for (size_t y = 0; y < TAPS; y++) {
        for (size_t x = 0; x < TAPS; x++)
            sum += row[y] * column[x] * (double)g[y * TAPS + x];
    }
    return (float)sum;
}

void convolution_pack(const float *weight,
                      size_t outputs,
                      size_t inputs,
                      bool doubled,
                      float *room,
                      float *panels)
{
    static const double plain_rows[][TAPS] = {
        {1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
    static const double doubled_rows[][TAPS] = {{1, 0, 0}, {.5, .5, .5}, {0, 0, 1}};
    const double(*rows)[TAPS] = doubled ? doubled_rows : plain_rows;
    size_t side = side_of(doubled);
    for (size_t plane = 0; plane < side * side; plane++) {
        for (size_t i = 0; i < outputs * inputs; i++)
            room[i] = transformed(weight + i * TAPS * TAPS, rows[plane / side],
                                  rows[plane % side]);
        product_pack(room, inputs, outputs, inputs, panels);
        panels += product_packed_size(outputs, inputs);
    }
}

/* A unit's memory: the planes of its tiles before and behind the products, a tile's
 * inputs at the border, and where outputs beyond the border go. */
struct room {
    float *before, *behind, *patch, *nowhere;
};

size_t convolution_scratch(size_t in_channels, size_t out_channels)
{
    size_t planes = size_multiply((MOST_TILES + 1) * MOST_PLANES, in_channels);
    return size_add(planes,
                    size_multiply(MOST_TILES * MOST_PLANES + PIXELS, out_channels));
}

static struct room lay_out(const struct convolution *c, float *scratch)
{
    struct room room = {.before = scratch};
    room.patch = room.before + MOST_TILES * MOST_PLANES * c->in_channels;
    room.behind = room.patch + MOST_PLANES * c->in_channels;
    room.nowhere = room.behind + MOST_TILES * MOST_PLANES * c->out_channels;
    return room;
}

static size_t tiles_of(size_t side)
{
    return (side + TILE - 1) / TILE;
}

/* The picture that is read: its size, and how far apart two tiles begin. */
struct source {
    size_t height, width, step, side;
};

static struct source source_of(const struct convolution *c)
{
    if (c->doubled)
        return (struct source){c->height / 2, c->width / 2, 1, side_of(true)};
    return (struct source){c->height, c->width, TILE, side_of(false)};
}

/* A tile's inputs with zeros beyond the border; they begin one pixel before (y, x). */
static void copy_patch(
    const struct convolution *c, struct source from, size_t y, size_t x, float *patch)
{
    for (size_t dy = 0; dy < from.side; dy++) {
        for (size_t dx = 0; dx < from.side; dx++, patch += c->in_channels) {
            /* One is added to both sides of the border test: sizes have no sign. */
            size_t row = y + dy, column = x + dx;
            if (row < 1 || row > from.height || column < 1 || column > from.width)
                memset(patch, 0, c->in_channels * sizeof(*patch));
            else
                memcpy(patch,
                       c->in + ((row - 1) * from.width + column - 1) * c->in_channels,
                       c->in_channels * sizeof(*patch));
        }
    }
}

/* The planes of one tile; they lie `planes` floats apart from `out` on. */
static void read_tile(const struct kernels *kernels,
                      const struct convolution *c,
                      size_t tile,
                      size_t plane_stride,
                      float *patch,
                      float *out)
{
    struct source from = source_of(c);
    size_t across = tiles_of(c->width);
    size_t y = tile / across * from.step, x = tile % across * from.step;
    struct winograd_in in = {
        .channels = c->in_channels,
        .pixel_stride = c->in_channels,
        .plane_stride = plane_stride,
        .out = out,
    };
    if (y >= 1 && x >= 1 && y + from.side - 1 <= from.height &&
        x + from.side - 1 <= from.width) {
        in.in = c->in + ((y - 1) * from.width + x - 1) * c->in_channels;
        in.row_stride = from.width * c->in_channels;
    } else {
        copy_patch(c, from, y, x, patch);
        in.in = patch;
        in.row_stride = from.side * c->in_channels;
    }
    (c->doubled ? kernels->each->winograd->in_doubled : kernels->each->winograd->in)(&in);
}

static void write_tile(const struct kernels *kernels,
                       const struct convolution *c,
                       size_t tile,
                       struct winograd_out out,
                       float *nowhere)
{
    size_t across = tiles_of(c->width);
    float *pixels[PIXELS];
    const float *residual[PIXELS];
    for (size_t i = 0; i < PIXELS; i++) {
        size_t y = tile / across * TILE + i / TILE, x = tile % across * TILE + i % TILE;
        size_t at = (y * c->width + x) * c->out_channels;
        bool inside = y < c->height && x < c->width;
        pixels[i] = inside ? c->out + at : nowhere + i * c->out_channels;
        residual[i] = inside && c->residual != NULL ? c->residual + at : c->bias;
    }
    out.out = pixels;
    out.residual = c->residual != NULL ? residual : NULL;
    (c->doubled ? kernels->each->winograd->out_doubled
                : kernels->each->winograd->out)(&out);
}

static size_t count_tiles(const struct convolution *c)
{
    return tiles_of(c->height) * tiles_of(c->width);
}

/* Of a unit: weights are read once for all of them, but a small picture has to be enough
 * for many hands. Multiples of the rows that products take at once. */
static size_t unit_tiles(const struct convolution *c)
{
    size_t share = count_tiles(c) / SHARES;
    return share >= MOST_TILES       ? MOST_TILES
           : share >= MOST_TILES / 2 ? MOST_TILES / 2
                                     : MOST_TILES / 4;
}

size_t convolution_units(const struct convolution *c)
{
    return (count_tiles(c) + unit_tiles(c) - 1) / unit_tiles(c);
}

void convolution_apply_unit(const struct kernels *kernels,
                            const struct convolution *c,
                            size_t unit,
                            float *scratch)
{
    struct room room = lay_out(c, scratch);
    size_t first = unit * unit_tiles(c), side = side_of(c->doubled);
    size_t tiles = size_min(unit_tiles(c), count_tiles(c) - first);
    size_t in = tiles * c->in_channels, out = tiles * c->out_channels;
    for (size_t t = 0; t < tiles; t++)
        read_tile(kernels, c, first + t, in, room.patch,
                  room.before + t * c->in_channels);

    size_t packed = product_packed_size(c->out_channels, c->in_channels);
    for (size_t plane = 0; plane < side * side; plane++) {
        struct product product = {
            .rows = tiles,
            .inputs = c->in_channels,
            .outputs = c->out_channels,
            .in = room.before + plane * in,
            .in_stride = c->in_channels,
            .panels = c->panels + plane * packed,
            .type = PANEL_F32,
            .out = room.behind + plane * out,
            .out_stride = c->out_channels,
        };
        kernels->product(&product);
    }

    for (size_t t = 0; t < tiles; t++) {
        struct winograd_out tile = {
            .channels = c->out_channels,
            .plane_stride = out,
            .in = room.behind + t * c->out_channels,
            .bias = c->bias,
        };
        write_tile(kernels, c, first + t, tile, room.nowhere);
    }
}

void convolution_apply(const struct kernels *kernels,
                       const struct convolution *c,
                       float *scratch)
{
    for (size_t unit = 0; unit < convolution_units(c); unit++)
        convolution_apply_unit(kernels, c, unit, scratch);
}
