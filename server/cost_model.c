#include "server/cost_model.h"

#include "base/size.h"

/* The newest observation's weight, once there were SETTLED of them; one that is off by
 * more than MOST_RATIO (the machine was busy with something else) counts as that much. */
static const double weight_least = 0.125, ratio_most = 4.0;
enum { SETTLED = 4, NOWHERE = COST_SIZES + COST_BATCHES };

/* Two classes an octave: from 2^k, and from 1.5 * 2^k. */
static size_t size_class(size_t size)
{
    size_t log = size_log2(size);
    size_t half = log > 0 ? size >> (log - 1) & 1 : 0;
    return size_min(2 * log + half, COST_SIZES - 1);
}

static size_t batch_class(size_t batch)
{
    return size_min(size_log2(batch), COST_BATCHES - 1);
}

static size_t distance(size_t a, size_t b)
{
    return a > b ? a - b : b - a;
}

/* The measured cell nearest to this one: rather another batch than another size. */
static const struct cost_cell *
nearest(const struct cost_cell (*cells)[COST_BATCHES], size_t size, size_t batch)
{
    const struct cost_cell *found = NULL;
    size_t least = NOWHERE * COST_BATCHES;
    if (cells[size][batch].samples > 0)
        return &cells[size][batch];
    for (size_t s = 0; s < COST_SIZES; s++) {
        for (size_t b = 0; b < COST_BATCHES; b++) {
            size_t away = distance(s, size) * COST_BATCHES + distance(b, batch);
            if (cells[s][b].samples == 0 || away >= least)
                continue;
            least = away;
            found = &cells[s][b];
        }
    }
    return found;
}

double cost_model_item(const struct cost_model *model,
                       enum batcher_work work,
                       bool helped,
                       size_t size,
                       size_t batch)
{
    size_t s = size_class(size), b = batch_class(batch);
    const struct cost_cell *cell = nearest(model->cells[work][helped], s, b);
    if (cell == NULL)
        cell = nearest(model->cells[work][!helped], s, b);
    return cell == NULL ? 0.0 : cell->seconds * (double)size;
}

static size_t count_items(const struct cost_round *round)
{
    size_t items = 0;
    for (size_t i = 0; i < round->n; i++)
        items += round->shares[i].items;
    return items;
}

double cost_model_predict(const struct cost_model *model, const struct cost_round *round)
{
    size_t items = count_items(round);
    double seconds = 0.0;
    for (size_t i = 0; i < round->n; i++)
        seconds += (double)round->shares[i].items *
                   cost_model_item(model, round->work, round->helped,
                                   round->shares[i].size, items);
    return seconds;
}

/* Moves the cell towards what it would have to be for its round to take as long as it
 * did. A cell without samples starts from its neighbour's value. */
static void learn(struct cost_cell *cell, double believed, double ratio)
{
    double weight = 1.0 / (1.0 + cell->samples);
    if (cell->samples >= SETTLED && ratio > ratio_most)
        ratio = ratio_most;
    if (weight < weight_least)
        weight = weight_least;
    cell->seconds = believed + weight * (believed * ratio - believed);
    cell->samples++;
}

void cost_model_observe(struct cost_model *model,
                        const struct cost_round *round,
                        double seconds)
{
    struct cost_cell(*cells)[COST_BATCHES] = model->cells[round->work][round->helped];
    size_t items = count_items(round), batch = batch_class(items), units = 0;
    double predicted = cost_model_predict(model, round);
    double believed[COST_SIZES] = {0};
    for (size_t i = 0; i < round->n; i++)
        units += round->shares[i].items * round->shares[i].size;
    if (units == 0 || seconds <= 0.0)
        return;
    double ratio = predicted > 0.0 ? seconds / predicted : 1.0;
    /* All beliefs before the first is changed, and each cell once: one may be the
     * neighbour from which another is taken. */
    for (size_t i = 0; i < round->n; i++) {
        const struct cost_share *share = &round->shares[i];
        if (share->size == 0 || share->items == 0)
            continue;
        believed[size_class(share->size)] =
            predicted > 0.0
                ? cost_model_item(model, round->work, round->helped, share->size, items) /
                      (double)share->size
                : seconds / (double)units;
    }
    for (size_t class = 0; class < COST_SIZES; class ++) {
        if (believed[class] > 0.0)
            learn(&cells[class][batch], believed[class], ratio);
    }
}
