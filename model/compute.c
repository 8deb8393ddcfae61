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

struct linear_work {
    const struct compute *compute;
    const struct linear *linear;
    const struct linear_rows *rows;
};

static void linear_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct linear_work *work = context;
    (void)scratch;
    linear_apply_unit(work->compute->kernels, work->linear, work->rows, unit);
}

void compute_linear(const struct compute *compute,
                    const struct linear *linear,
                    const struct linear_rows *rows)
{
    struct linear_work work = {compute, linear, rows};
    uint64_t start = tally_start(compute->run->tally);
    team_share(compute->run->team, linear_units(linear), linear_unit, &work,
               compute->run->scratch);
    struct tally_shape shape = {TALLY_PRODUCT, rows->rows, linear->inputs,
                                linear->gated ? 2 * linear->outputs : linear->outputs, 0};
    tally_add(compute->run->tally, &shape, multiply_adds(&shape), start);
}

struct attention_work {
    const struct compute *compute;
    const struct attention *attention;
    compute_head *prepare;
    const void *context;
};

static void attention_unit(void *context, size_t unit, struct arena *scratch)
{
    const struct attention_work *work = context;
    const struct attention *attention = work->attention;
    size_t mark = arena_mark(scratch);
    float *room = arena_take_floats(
        scratch, attention_scratch(attention->keys, attention->head_size));
    if (work->prepare != NULL)
        work->prepare(work->context, unit);
    attention_apply_head(work->compute->kernels, attention, unit, room);
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
                       const struct attention *attention,
                       compute_head *prepare,
                       const void *context)
{
    struct attention_work work = {compute, attention, prepare, context};
    uint64_t start = tally_start(compute->run->tally);
    team_share(compute->run->team, attention->key_heads, attention_unit, &work,
               compute->run->scratch);
    struct tally_shape shape = {TALLY_ATTENTION, attention->queries, attention->keys,
                                attention->head_size, attention->heads};
    /* Scores, then the sum of values, in each head over all keys that a query may see. */
    double operations = 4.0 * visible_keys(attention) * (double)attention->head_size *
                        (double)attention->heads;
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
