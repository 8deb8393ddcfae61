#include "model/tally.h"

#include "base/clock.h"

#include <stdbool.h>

uint64_t tally_start(const struct tally *tally)
{
    return tally != NULL ? clock_now() : 0;
}

static bool is_same(const struct tally_shape *a, const struct tally_shape *b)
{
    return a->kind == b->kind && a->rows == b->rows && a->inputs == b->inputs &&
           a->outputs == b->outputs && a->heads == b->heads;
}

void tally_add(struct tally *tally,
               const struct tally_shape *shape,
               double operations,
               uint64_t start)
{
    if (tally == NULL)
        return;
    uint64_t took = clock_now() - start;
    tally->operations += operations;
    tally->took += took;
    size_t i = 0;
    while (i < tally->n && !is_same(&tally->rows[i].shape, shape))
        i++;
    if (i == TALLY_ROWS)
        return;
    if (i == tally->n)
        tally->rows[tally->n++] = (struct tally_row){.shape = *shape};
    tally->rows[i].calls++;
    tally->rows[i].operations += operations;
    tally->rows[i].took += took;
}
