#include "model/kernels/kernels.h"
#include "model/kernels/product_tiles.h"

#include <cblas.h>

#include <assert.h>
#include <limits.h>

void kernels_init(void)
{
    openblas_set_num_threads(1);
}

/* A panel is a matrix of its own, [inputs, PANEL]; rows are taken in blocks that do not
 * depend on anything but their number. */
void product_openblas(const struct product *p)
{
    enum { BLOCK = 192 };
    float sums[BLOCK * PAIR];
    size_t width = p->end == PRODUCT_GATED ? PANEL : PAIR;
    size_t pairs = p->outputs / width + (p->outputs % width != 0);
    assert(p->inputs <= INT_MAX && p->in_stride <= INT_MAX);
    for (size_t first = 0; first < p->rows; first += BLOCK) {
        size_t rows = size_min(BLOCK, p->rows - first);
        for (size_t pair = 0; pair < pairs; pair++) {
            for (size_t half = 0; half < 2; half++)
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, PANEL,
                            (int)p->inputs, 1.0f, p->in + first * p->in_stride,
                            (int)p->in_stride,
                            p->panels + (2 * pair + half) * PANEL * p->inputs, PANEL,
                            0.0f, sums + half * PANEL, PAIR);
            product_finish(p, first, rows, pair, sums);
        }
    }
}
