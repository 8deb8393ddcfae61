#include "model/compute.h"

#include "base/size.h"

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

void compute_layers(const struct compute *compute,
                    const struct compute_layer *layers,
                    size_t n)
{
    struct layers_work work = {compute->kernels, layers};
    size_t units = 0;
    for (size_t i = 0; i < n; i++)
        units += linear_units(layers[i].linear);
    team_share(compute->run->team, units, layers_unit, &work, compute->run->scratch);
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

void compute_attention(const struct compute *compute,
                       const struct compute_attention *work)
{
    struct attention_work shared = {compute->kernels, work};
    team_share(compute->run->team, work->n * work->attentions->key_heads, attention_unit,
               &shared, compute->run->scratch);
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
        arena_take_floats(scratch, convolution_scratch(work->convolution->in_channels,
                                                       work->convolution->out_channels));
    convolution_apply_unit(work->compute->kernels, work->convolution, unit, room);
    arena_rewind(scratch, mark);
}

void compute_convolution(const struct compute *compute,
                         const struct convolution *convolution)
{
    struct convolution_work work = {compute, convolution};
    team_share(compute->run->team, convolution_units(convolution), convolution_unit,
               &work, compute->run->scratch);
}
