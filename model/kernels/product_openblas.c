#include "model/kernels/kernels.h"
#include "model/kernels/product_tiles.h"

#include <cblas.h>

#include <assert.h>
#include <limits.h>

void kernels_init(void)
{
    openblas_set_num_threads(1);
}

enum { BLOCK_ROWS = 192, BLOCK_INPUTS = 256 };

/* sums, [rows, PAIR], of a pair of panels. A panel is a matrix of its own, [inputs,
 * PANEL]; it is widened some inputs at a time. */
static void multiply_pair(
    const struct product *p, size_t first, size_t rows, size_t pair, float *sums)
{
    float wide[BLOCK_INPUTS * PANEL];
    for (size_t half = 0; half < 2; half++) {
        const void *panel = product_panel(p, 2 * pair + half);
        for (size_t at = 0; at < p->inputs; at += BLOCK_INPUTS) {
            size_t inputs = size_min(BLOCK_INPUTS, p->inputs - at);
            for (size_t v = 0; v < inputs * PANEL; v++)
                wide[v] = product_value(p->type, panel, at * PANEL + v);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, PANEL,
                        (int)inputs, 1.0f, p->in + first * p->in_stride + at,
                        (int)p->in_stride, wide, PANEL, at == 0 ? 0.0f : 1.0f,
                        sums + half * PANEL, PAIR);
        }
    }
}

/* Rows are taken in blocks that do not depend on anything but their number. */
void product_openblas(const struct product *p)
{
    float sums[BLOCK_ROWS * PAIR] = {0};
    size_t width = p->end == PRODUCT_GATED ? PANEL : PAIR;
    size_t pairs = p->outputs / width + (p->outputs % width != 0);
    assert(p->inputs <= INT_MAX && p->in_stride <= INT_MAX);
    for (size_t first = 0; first < p->rows; first += BLOCK_ROWS) {
        size_t rows = size_min(BLOCK_ROWS, p->rows - first);
        for (size_t pair = 0; pair < pairs; pair++) {
            multiply_pair(p, first, rows, pair, sums);
            product_finish(p, first, rows, pair, sums);
        }
    }
}
