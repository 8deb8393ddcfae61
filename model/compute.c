#include "model/compute.h"

#include "base/size.h"

size_t compute_scratch(const struct compute_sizes *sizes)
{
    size_t floats = size_max(attention_scratch(sizes->keys, sizes->head_size),
                             convolution_scratch(sizes->channels));
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

struct layers_work {
    const struct kernels *kernels;
    const struct compute_layer *layers;
};

static void layers_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct layers_work *work = context;
    const struct compute_layer *layer = work->layers;
    (void)scratch;
    for (; unit >= linear_units(layer->linear); layer++)
        unit -= linear_units(layer->linear);
    linear_apply_unit(work->kernels, layer->linear, layer->rows, layer->n, unit);
}

static void share_layers(const struct compute *compute,
                         const struct compute_layer *layers,
                         size_t n)
{
    struct layers_work work = {compute->kernels, layers};
    size_t units = 0;
    for (size_t i = 0; i < n; i++)
        units += linear_units(layers[i].linear);
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

struct attention_work {
    const struct kernels *kernels;
    const struct compute_attention *work;
};

static void attention_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct attention_work *shared = context;
    const struct compute_attention *work = shared->work;
    size_t heads = work->attentions->key_heads, i = unit / heads, head = unit % heads;
    const struct attention *attention = &work->attentions[i];
    size_t mark = arena_mark(scratch);
    float *room = arena_take_floats(
        scratch, attention_scratch(attention->keys, attention->head_size));
    if (work->prepare != NULL)
        work->prepare(work->context, i, head);
    attention_apply_head(shared->kernels, attention, head, room);
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
    struct attention_work shared = {compute->kernels, work};
    const struct attention *first = work->attentions;
    uint64_t start = tally_start(compute->run->tally);
    team_share(compute->run->team, work->n * first->key_heads, attention_unit, &shared,
               compute->run->scratch);
    struct tally_shape shape = {TALLY_ATTENTION, first->queries, first->keys,
                                first->head_size, first->heads};
    /* Scores, then the sum of values, in each head over all keys that a query may see. */
    double operations = 0.0;
    for (size_t i = 0; i < work->n; i++)
        operations += 4.0 * visible_keys(&work->attentions[i]) *
                      (double)first->head_size * (double)first->heads;
    tally_add(compute->run->tally, &shape, operations, start);
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
        arena_take_floats(scratch, convolution_scratch(work->convolution->in_channels));
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
