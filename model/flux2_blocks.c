#include "model/flux2_blocks.h"

#include "base/size.h"

void flux2_work_lay_out(const struct flux2_sizes *sizes,
                        size_t tokens,
                        struct arena *arena,
                        struct flux2_work *work)
{
    size_t wide = size_max(3 * sizes->width, sizes->mlp);
    work->normed = arena_take_floats(arena, size_multiply(tokens, sizes->width));
    work->wide = arena_take_floats(arena, size_multiply(tokens, wide));
    work->joined =
        arena_take_floats(arena, size_multiply(tokens, sizes->width + sizes->mlp));
}

/* What a block works on. */
struct task {
    const struct compute *compute;
    const struct flux2_sizes *sizes;
    const struct flux2_item *item;
    const struct flux2_work *work;
};

static void modulate(const struct task *task,
                     size_t rows,
                     const float *in,
                     const float *modulation, /* shift, scale */
                     float *out)
{
    struct norm_modulated norm = {
        .rows = rows,
        .n = task->sizes->width,
        .in = in,
        .shift = modulation,
        .scale = modulation + task->sizes->width,
        .out = out,
        .epsilon = task->sizes->epsilon,
    };
    task->compute->kernels->each->norm_modulated(&norm);
}

/* A layer's result enters the residual stream: x += gate * result. */
static void add_gated(const struct task *task,
                      const struct linear *linear,
                      struct linear_rows rows, /* its input */
                      const float *gate,
                      float *x)
{
    rows.out = x;
    rows.out_stride = task->sizes->width;
    rows.add = true;
    rows.gate = gate;
    compute_linear(task->compute, linear, &rows);
}

/* The per-head norms of some of the tokens. */
struct head_norms {
    size_t first, rows;
    const float *q_norm, *k_norm; /* [head_size] */
};

/* q, k and v of all tokens lie in rows of 3 D floats. */
struct heads {
    const struct task *task;
    size_t n;
    struct head_norms norms[2];
};

/* RMSNorm and rotation of one head's q and k: every head is prepared by whoever attends
 * with it. */
static void prepare_head(const void *context, size_t head)
{
    const struct heads *heads = context;
    const struct task *task = heads->task;
    const struct flux2_sizes *sizes = task->sizes;
    const struct flux2_item *item = task->item;
    const struct elementwise *each = task->compute->kernels->each;
    size_t d = sizes->width, stride = 3 * d;
    for (size_t part = 0; part < 2; part++) { /* q, then k */
        float *x = task->work->wide + part * d + head * sizes->head_size;
        for (size_t i = 0; i < heads->n; i++) {
            const struct head_norms *norms = &heads->norms[i];
            struct norm_rms norm = {
                .rows = norms->rows,
                .n = sizes->head_size,
                .in_stride = stride,
                .out_stride = stride,
                .in = x + norms->first * stride,
                .weight = part == 0 ? norms->q_norm : norms->k_norm,
                .out = x + norms->first * stride,
                .epsilon = sizes->epsilon,
            };
            each->norm_rms(&norm);
        }
        struct rotary rotary = {
            .pairs = ROTARY_NEIGHBOURS,
            .tokens = item->text_tokens + item->image_tokens,
            .heads = 1,
            .head_size = sizes->head_size,
            .stride = stride,
            .cosine = item->cosine,
            .sine = item->sine,
            .x = x,
        };
        each->rotary(&rotary);
    }
}

/* Over all tokens: padding of the text is seen too. */
static void attend(const struct heads *heads, size_t out_stride)
{
    const struct task *task = heads->task;
    const struct flux2_sizes *sizes = task->sizes;
    size_t tokens = task->item->text_tokens + task->item->image_tokens;
    size_t d = sizes->width, stride = 3 * d;
    struct attention attention = {
        .queries = tokens,
        .keys = tokens,
        .heads = sizes->heads,
        .key_heads = sizes->heads,
        .head_size = sizes->head_size,
        .q = task->work->wide,
        .k = task->work->wide + d,
        .v = task->work->wide + 2 * d,
        .q_stride = stride,
        .k_stride = stride,
        .v_stride = stride,
        .out = task->work->joined,
        .out_stride = out_stride,
    };
    compute_attention(task->compute, &attention, prepare_head, heads);
}

/* A stream's share of a double block's tokens. */
struct share {
    const struct flux2_stream *stream;
    const float *modulation; /* shift1, scale1, gate1, shift2, scale2, gate2 */
    size_t first, rows;
};

/* q, k and v of one stream into the rows that are its tokens' in the joint sequence. */
static void project(const struct task *task, const struct share *share)
{
    size_t d = task->sizes->width, stride = 3 * d;
    float *normed = task->work->normed + share->first * d;
    float *q = task->work->wide + share->first * stride;
    modulate(task, share->rows, task->item->x + share->first * d, share->modulation,
             normed);

    const struct linear *layers[] = {&share->stream->q, &share->stream->k,
                                     &share->stream->v};
    for (size_t i = 0; i < 3; i++) {
        struct linear_rows rows = {.rows = share->rows,
                                   .in = normed,
                                   .in_stride = d,
                                   .out = q + i * d,
                                   .out_stride = stride};
        compute_linear(task->compute, layers[i], &rows);
    }
}

/* What follows the joint attention: output layer, then feed-forward, both gated. */
static void finish(const struct task *task, const struct share *share)
{
    size_t d = task->sizes->width, mlp = task->sizes->mlp, n = share->rows;
    const struct flux2_work *work = task->work;
    const float *modulation = share->modulation;
    float *x = task->item->x + share->first * d;

    struct linear_rows attended = {
        .rows = n, .in = work->joined + share->first * d, .in_stride = d};
    add_gated(task, &share->stream->out, attended, modulation + 2 * d, x);

    modulate(task, n, x, modulation + 3 * d, work->normed);
    struct linear_rows in = {.rows = n,
                             .in = work->normed,
                             .in_stride = d,
                             .out = work->wide,
                             .out_stride = mlp};
    compute_linear(task->compute, &share->stream->ff_in, &in);
    struct linear_rows hidden = {.rows = n, .in = work->wide, .in_stride = mlp};
    add_gated(task, &share->stream->ff_out, hidden, modulation + 5 * d, x);
}

void flux2_double_block_apply(const struct compute *compute,
                              const struct flux2_sizes *sizes,
                              const struct flux2_double_block *block,
                              const struct flux2_item *item,
                              const struct flux2_work *work)
{
    const struct task task = {compute, sizes, item, work};
    const struct share shares[] = {
        {&block->text, item->text_modulation, 0, item->text_tokens},
        {&block->image, item->image_modulation, item->text_tokens, item->image_tokens},
    };
    struct heads heads = {.task = &task, .n = 2};
    for (size_t i = 0; i < 2; i++) {
        const struct flux2_stream *stream = shares[i].stream;
        project(&task, &shares[i]);
        heads.norms[i] = (struct head_norms){shares[i].first, shares[i].rows,
                                             stream->q_norm, stream->k_norm};
    }
    attend(&heads, sizes->width);
    for (size_t i = 0; i < 2; i++)
        finish(&task, &shares[i]);
}

void flux2_single_block_apply(const struct compute *compute,
                              const struct flux2_sizes *sizes,
                              const struct flux2_single_block *block,
                              const struct flux2_item *item,
                              const struct flux2_work *work)
{
    const struct task task = {compute, sizes, item, work};
    size_t d = sizes->width, n = item->text_tokens + item->image_tokens;
    size_t joined = d + sizes->mlp;

    modulate(&task, n, item->x, item->single_modulation, work->normed);
    struct linear_rows in = {.rows = n,
                             .in = work->normed,
                             .in_stride = d,
                             .out = work->wide,
                             .out_stride = 3 * d};
    compute_linear(compute, &block->qkv, &in);
    in.out = work->joined + d;
    in.out_stride = joined;
    compute_linear(compute, &block->mlp, &in);

    const struct heads heads = {
        .task = &task, .n = 1, .norms = {{0, n, block->q_norm, block->k_norm}}};
    attend(&heads, joined);
    struct linear_rows out = {.rows = n, .in = work->joined, .in_stride = joined};
    add_gated(&task, &block->out, out, item->single_modulation + 2 * d, item->x);
}
