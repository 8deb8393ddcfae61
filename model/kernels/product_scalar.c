#include "model/kernels/kernels.h"
#include "model/kernels/product_tiles.h"

static void tile(size_t rows, size_t n_panels, const struct product_place *place)
{
    const struct product *p = place->p;
    for (size_t r = 0; r < rows; r++) {
        for (size_t l = 0; l < n_panels * PANEL; l++) {
            size_t lane = l / PANEL * PANEL * p->inputs + l % PANEL;
            float sum = 0.0f;
            for (size_t i = 0; i < p->inputs; i++)
                sum = fmaf(place->in[r * p->in_stride + i],
                           product_value(p->type, place->panels, lane + i * PANEL), sum);
            place->sums[r * place->sums_stride + l] = sum;
        }
    }
}

void product_scalar(const struct product *product)
{
    product_over_tiles(product, tile);
}
