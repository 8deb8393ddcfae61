#include "model/compute.h"

#include "base/size.h"

#include <assert.h>

size_t compute_scratch(const struct compute_sizes *sizes)
{
    size_t floats = size_max(attention_scratch(sizes->keys, sizes->head_size),
                             convolution_scratch(sizes->channels, sizes->channels));
    struct arena arena;
    arena_init_measuring(&arena);
    (void)arena_take_floats(&arena, floats);
    return arena.used;
}

enum err_code compute_check_scratch(const struct compute_sizes *sizes,
                                    struct arena *arena,
                                    const char *what,
                                    struct err *err)
{
    size_t mark = arena_mark(arena);
    (void)arena_take(arena, compute_scratch(sizes), 1);
    enum err_code code = arena_check(arena, what, err);
    if (code == ERR_OK)
        arena_rewind(arena, mark);
    return code;
}

/* Operations of a product of that shape. */
static double multiply_adds(const struct tally_shape *shape)
{
    return 2.0 * (double)shape->rows * (double)shape->inputs * (double)shape->outputs;
}

/* A unit is some outputs of a layer for so many rows: layers over a picture's pixels have
 * few outputs and many rows. */
enum { UNIT_ROWS = 512 };

struct layers_work {
    const struct kernels *kernels;
    const struct compute_layer *layers;
};

static size_t layer_units(const struct compute_layer *layer)
{
    size_t most = 0;
    for (size_t i = 0; i < layer->n; i++)
        most = size_max(most, layer->rows[i].rows);
    return linear_units(layer->linear) * ((most + UNIT_ROWS - 1) / UNIT_ROWS);
}

static void layers_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct layers_work *work = context;
    const struct compute_layer *layer = work->layers;
    (void)scratch;
    for (; unit >= layer_units(layer); layer++)
        unit -= layer_units(layer);
    size_t units = linear_units(layer->linear), first = unit / units * UNIT_ROWS;
    for (size_t i = 0; i < layer->n; i++) {
        struct linear_rows rows = layer->rows[i];
        if (first >= rows.rows)
            continue;
        rows.rows = size_min(UNIT_ROWS, rows.rows - first);
        rows.in += first * rows.in_stride;
        rows.out += first * rows.out_stride;
        linear_apply_unit(work->kernels, layer->linear, &rows, i == 0, unit % units);
    }
}

static void
share_layers(const struct compute *compute, const struct compute_layer *layers, size_t n)
{
    struct layers_work work = {compute->kernels, layers};
    size_t units = 0;
    for (size_t i = 0; i < n; i++)
        units += layer_units(&layers[i]);
    team_share(compute->run->team, units, layers_unit, &work, compute->run->scratch);
}

static struct tally_shape shape_of(const struct compute_layer *layer)
{
    const struct linear *linear = layer->linear;
    struct tally_shape shape = {
        .kind = TALLY_PRODUCT,
        .inputs = linear->inputs,
        .outputs = linear->gated ? 2 * linear->outputs : linear->outputs,
    };
    for (size_t i = 0; i < layer->n; i++)
        shape.rows += layer->rows[i].rows;
    return shape;
}

void compute_layers(const struct compute *compute,
                    const struct compute_layer *layers,
                    size_t n)
{
    if (compute->run->tally == NULL) {
        share_layers(compute, layers, n);
        return;
    }
    /* To be told apart, they are computed one after the other. */
    for (size_t i = 0; i < n; i++) {
        struct tally_shape shape = shape_of(&layers[i]);
        uint64_t start = tally_start(compute->run->tally);
        share_layers(compute, &layers[i], 1);
        tally_add(compute->run->tally, &shape, multiply_adds(&shape), start);
    }
}

void compute_linear(const struct compute *compute,
                    const struct linear *linear,
                    const struct linear_rows *rows)
{
    struct compute_layer layer = {linear, rows, 1};
    compute_layers(compute, &layer, 1);
}

enum { NORM_ROWS = 16 };

struct norms_work {
    const struct kernels *kernels;
    const struct norm_modulated *norms;
};

static size_t norm_units(const struct norm_modulated *norm)
{
    return (norm->rows + NORM_ROWS - 1) / NORM_ROWS;
}

static void norms_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct norms_work *work = context;
    const struct norm_modulated *norm = work->norms;
    (void)scratch;
    for (; unit >= norm_units(norm); norm++)
        unit -= norm_units(norm);
    struct norm_modulated share = *norm;
    size_t first = unit * NORM_ROWS;
    share.rows = size_min(NORM_ROWS, norm->rows - first);
    share.in += first * norm->n;
    share.out += first * norm->n;
    work->kernels->each->norm_modulated(&share);
}

void compute_norms(const struct compute *compute,
                   const struct norm_modulated *norms,
                   size_t n)
{
    struct norms_work work = {compute->kernels, norms};
    size_t units = 0;
    for (size_t i = 0; i < n; i++)
        units += norm_units(&norms[i]);
    team_share(compute->run->team, units, norms_unit, &work, compute->run->scratch);
}

/* What a unit works in, of whoever does it: a leader has looked (compute_check_scratch),
 * and a helper owes as much. No unit can be left undone, so too little is not an error.
 */
static float *take_room(struct arena *scratch, size_t floats)
{
    float *room = arena_take_floats(scratch, floats);
    assert(room != NULL);
    return room;
}

struct attention_work {
    const struct kernels *kernels;
    const struct compute_attention *work;
    size_t parts; /* of a head */
};

/* Queries of a part of a head, each of which lays the head's keys out anew: few parts of
 * many queries. A head that has to be prepared is not divided. */
static size_t part_queries(const struct compute_attention *work)
{
    enum { BLOCK = 48, LEAST = 3 * BLOCK, MOST_PARTS = 8 };
    size_t queries = work->attentions->queries;
    if (work->prepare != NULL || work->attentions->causal || work->n > 1)
        return queries;
    size_t share = (queries / MOST_PARTS / BLOCK + 1) * BLOCK;
    return size_min(queries, size_max(share, LEAST));
}

static void attention_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct attention_work *shared = context;
    const struct compute_attention *work = shared->work;
    size_t heads = work->attentions->key_heads, part = unit % shared->parts;
    size_t i = unit / shared->parts / heads, head = unit / shared->parts % heads;
    struct attention attention = work->attentions[i];
    size_t mark = arena_mark(scratch);
    float *room =
        take_room(scratch, attention_scratch(attention.keys, attention.head_size));
    if (work->prepare != NULL)
        work->prepare(work->context, i, head);
    if (shared->parts > 1) {
        size_t queries = part_queries(work), first = part * queries;
        attention.queries = size_min(queries, attention.queries - first);
        attention.q += first * attention.q_stride;
        attention.out += first * attention.out_stride;
    }
    attention_apply_head(shared->kernels, &attention, head, room);
    arena_rewind(scratch, mark);
}

/* Keys that each query sees, added up. */
static double visible_keys(const struct attention *attention)
{
    size_t queries = attention->queries;
    if (!attention->causal)
        return (double)queries * (double)attention->keys;
    double growing = (double)size_min(queries, attention->valid_keys);
    return growing * (growing + 1.0) / 2.0 +
           ((double)queries - growing) * (double)attention->valid_keys;
}

void compute_attention(const struct compute *compute,
                       const struct compute_attention *work)
{
    const struct attention *first = work->attentions;
    size_t queries = part_queries(work);
    struct attention_work shared = {compute->kernels, work,
                                    (first->queries + queries - 1) / queries};
    uint64_t start = tally_start(compute->run->tally);
    team_share(compute->run->team, work->n * first->key_heads * shared.parts,
               attention_unit, &shared, compute->run->scratch);
    struct tally_shape shape = {TALLY_ATTENTION, first->queries, first->keys,
                                first->head_size, first->heads};
    /* Scores, then the sum of values, in each head over all keys that a query may see. */
    double operations = 0.0;
    for (size_t i = 0; i < work->n; i++)
        operations += 4.0 * visible_keys(&work->attentions[i]) *
                      (double)first->head_size * (double)first->heads;
    tally_add(compute->run->tally, &shape, operations, start);
}

struct group_work {
    const struct kernels *kernels;
    const struct norm_group *norm;
    double *sums;
    float *factors;
};

static void group_sums_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct group_work *work = context;
    (void)scratch;
    work->kernels->each->group_sums(work->norm, unit,
                                    work->sums + unit * norm_group_sums(work->norm));
}

static void group_apply_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct group_work *work = context;
    (void)scratch;
    work->kernels->each->group_apply(work->norm, unit, work->factors);
}

size_t compute_group_norm_room(size_t pixels, size_t channels)
{
    const struct norm_group norm = {.pixels = pixels, .channels = channels};
    size_t doubles = size_multiply(norm_group_units(&norm), norm_group_sums(&norm));
    return size_add(size_multiply(doubles, sizeof(double) / sizeof(float)),
                    norm_group_factors(&norm));
}

void compute_group_norm(const struct compute *compute,
                        const struct norm_group *norm,
                        void *room)
{
    struct group_work work = {compute->kernels, norm, .sums = room};
    size_t units = norm_group_units(norm);
    void *behind = work.sums + units * norm_group_sums(norm);
    work.factors = behind;
    const struct run *run = compute->run;
    team_share(run->team, units, group_sums_unit, &work, run->scratch);
    compute->kernels->each->group_factors(norm, work.sums, work.factors);
    team_share(run->team, units, group_apply_unit, &work, run->scratch);
}

struct convolution_work {
    const struct compute *compute;
    const struct convolution *convolution;
};

static void convolution_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct convolution_work *work = context;
    size_t mark = arena_mark(scratch);
    float *room =
        take_room(scratch, convolution_scratch(work->convolution->in_channels,
                                               work->convolution->out_channels));
    convolution_apply_unit(work->compute->kernels, work->convolution, unit, room);
    arena_rewind(scratch, mark);
}

void compute_convolution(const struct compute *compute,
                         const struct convolution *convolution)
{
    struct convolution_work work = {compute, convolution};
    uint64_t start = tally_start(compute->run->tally);
    team_share(compute->run->team, convolution_units(convolution), convolution_unit,
               &work, compute->run->scratch);
    struct tally_shape shape = {TALLY_CONVOLUTION,
                                convolution->height * convolution->width,
                                convolution->in_channels, convolution->out_channels, 0};
    tally_add(compute->run->tally, &shape, 9.0 * multiply_adds(&shape), start);
}
