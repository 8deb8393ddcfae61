/*
 * tally - what calls into the model computed: each shape of layer, how often it came, its
 * arithmetic and its time. A run that carries one is measured layer by layer.
 *
 * Arithmetic is counted as the model defines it, in floating-point operations: two for
 * each multiply-add of a product, an attention or a convolution (whose border counts as
 * if it were there). Norms, rotations, softmax and activations count as none; their time
 * is what a call takes beyond its layers, but for those that a kernel fuses.
 *
 * Threads: whoever leads the call. Ownership: plain values.
 */
#ifndef SLUICE_MODEL_TALLY_H
#define SLUICE_MODEL_TALLY_H

#include <stddef.h>
#include <stdint.h>

enum tally_kind { TALLY_PRODUCT, TALLY_ATTENTION, TALLY_CONVOLUTION };

/* product: [rows, inputs] by [inputs, outputs]; attention: so many queries (rows), keys
 * (inputs) and values of a head (outputs), in so many heads; convolution: pixels,
 * channels in and out. */
struct tally_shape {
    enum tally_kind kind;
    size_t rows, inputs, outputs;
    size_t heads; /* of an attention, else 0 */
};

struct tally_row {
    struct tally_shape shape;
    size_t calls;
    double operations; /* of all calls */
    uint64_t took;     /* nanoseconds of all calls */
};

/* Shapes that do not find room are counted in the totals only. */
enum { TALLY_ROWS = 64 };
struct tally {
    struct tally_row rows[TALLY_ROWS]; /* in the order in which they first came */
    size_t n;
    double operations;
    uint64_t took;
};

/* The time at which a layer starts; tally may be NULL, here and below. */
uint64_t tally_start(const struct tally *tally);

/* A layer of that shape and arithmetic that started then has ended. */
void tally_add(struct tally *tally,
               const struct tally_shape *shape,
               double operations,
               uint64_t start);

#endif
