/*
 * winograd - the transforms of Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray
 * 2016, section 4.1), channel by channel: y = AT ((G g GT) * (BT d B)) A with
 *
 *        | 1  0 -1  0 |        | 1    0    0  |
 *   BT = | 0  1  1  0 |    G = | 1/2  1/2  1/2|    AT = | 1  1  1  0 |
 *        | 0 -1  1  0 |        | 1/2 -1/2  1/2|         | 0  1 -1 -1 |
 *        | 0  1  0 -1 |        | 0    0    1  |
 *
 * Where the two middle inputs are the same (a doubled picture) the third row of BT d is
 * zero, and leaves out its product: 3 by 3 planes instead of 4 by 4.
 *
 * One source, winograd.c, is compiled once for each instruction set, as a table; nothing
 * is reassociated, so that all give the same bits.
 *
 * Threads: constant tables of pure functions. Ownership: arrays are borrowed for the
 * call.
 */
#ifndef SLUICE_MODEL_KERNELS_WINOGRAD_H
#define SLUICE_MODEL_KERNELS_WINOGRAD_H

#include <stddef.h>

enum { WINOGRAD_SIDE = 4, WINOGRAD_DOUBLED_SIDE = 3, WINOGRAD_PIXELS = 4 };

/* BT d B of one tile: in has `side` rows of `side` pixels, which lie row_stride and
 * pixel_stride floats apart; out has side * side planes, which lie plane_stride apart. */
struct winograd_in {
    size_t channels, row_stride, pixel_stride, plane_stride;
    const float *in;
    float *out;
};

/* AT m A of one tile, bias and residual: in has the planes, out the pixels (0, 0),
 * (0, 1), (1, 0) and (1, 1). residual NULL: nothing is added. */
struct winograd_out {
    size_t channels, plane_stride;
    const float *in, *bias;
    const float *const *residual; /* of WINOGRAD_PIXELS pixels */
    float *const *out;
};

/* `doubled`: of doubled pictures. */
struct winograd {
    void (*in)(const struct winograd_in *tile);
    void (*in_doubled)(const struct winograd_in *tile);
    void (*out)(const struct winograd_out *tile);
    void (*out_doubled)(const struct winograd_out *tile);
};

extern const struct winograd winograd_scalar, winograd_avx2, winograd_avx512;

#endif
