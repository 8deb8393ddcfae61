#include "model/flux2_blocks.h"

#include "base/size.h"
#include "model/kernels/attention.h"

void flux2_work_lay_out(const struct flux2_sizes *sizes,
                        size_t tokens,
                        struct arena *arena,
                        struct flux2_work *work)
{
    size_t wide = size_max(3 * sizes->width, sizes->mlp),
           joined = sizes->width + sizes->mlp;
    work->normed = arena_take_floats(arena, size_multiply(tokens, sizes->width));
    work->wide = arena_take_floats(arena, size_multiply(tokens, wide));
    work->joined = arena_take_floats(arena, size_multiply(tokens, joined));
    work->scores = arena_take_floats(arena, attention_scratch(tokens, sizes->head_size));
}

static void modulate(const struct flux2_sizes *sizes,
                     size_t rows,
                     const float *in,
                     const float *modulation, /* shift, scale */
                     float *out)
{
    struct norm_modulated norm = {
        .rows = rows,
        .n = sizes->width,
        .in = in,
        .shift = modulation,
        .scale = modulation + sizes->width,
        .out = out,
        .epsilon = sizes->epsilon,
    };
    sizes->kernels->each->norm_modulated(&norm);
}

/* RMSNorm of each head of `rows` tokens, in place. */
static void normalise_heads(const struct flux2_sizes *sizes,
                            size_t rows,
                            size_t stride,
                            const float *weight,
                            float *x)
{
    for (size_t r = 0; r < rows; r++) {
        struct norm_rms norm = {
            .rows = sizes->heads,
            .n = sizes->head_size,
            .in_stride = sizes->head_size,
            .out_stride = sizes->head_size,
            .in = x + r * stride,
            .weight = weight,
            .out = x + r * stride,
            .epsilon = sizes->epsilon,
        };
        sizes->kernels->each->norm_rms(&norm);
    }
}

/* Rotates q and k, which lie with v in rows of 3 D floats, and attends over all tokens:
 * padding of the text is seen too. */
static void attend(const struct flux2_sizes *sizes,
                   const struct flux2_item *item,
                   const struct flux2_work *work,
                   size_t out_stride)
{
    size_t tokens = item->text_tokens + item->image_tokens, stride = 3 * sizes->width;
    float *q = work->wide, *k = q + sizes->width, *v = k + sizes->width;
    struct rotary rotary = {
        .pairs = ROTARY_NEIGHBOURS,
        .tokens = tokens,
        .heads = 2 * sizes->heads, /* those of q, and of k right behind them */
        .head_size = sizes->head_size,
        .stride = stride,
        .cosine = item->cosine,
        .sine = item->sine,
        .x = q,
    };
    sizes->kernels->each->rotary(&rotary);
    struct attention attention = {
        .queries = tokens,
        .keys = tokens,
        .heads = sizes->heads,
        .key_heads = sizes->heads,
        .head_size = sizes->head_size,
        .q = q,
        .k = k,
        .v = v,
        .q_stride = stride,
        .k_stride = stride,
        .v_stride = stride,
        .out = work->joined,
        .out_stride = out_stride,
    };
    attention_apply(sizes->kernels, &attention, work->scores);
}

/* A stream's share of a double block's tokens. */
struct share {
    const struct flux2_stream *stream;
    const float *modulation; /* shift1, scale1, gate1, shift2, scale2, gate2 */
    size_t first, rows;
};

/* q, k and v of one stream into the rows that are its tokens' in the joint sequence. */
static void project(const struct flux2_sizes *sizes,
                    const struct share *share,
                    const struct flux2_item *item,
                    const struct flux2_work *work)
{
    size_t d = sizes->width, stride = 3 * d;
    float *normed = work->normed + share->first * d;
    float *q = work->wide + share->first * stride;
    modulate(sizes, share->rows, item->x + share->first * d, share->modulation, normed);

    const struct linear *layers[] = {&share->stream->q, &share->stream->k,
                                     &share->stream->v};
    for (size_t i = 0; i < 3; i++) {
        struct linear_rows rows = {.rows = share->rows,
                                   .in = normed,
                                   .in_stride = d,
                                   .out = q + i * d,
                                   .out_stride = stride};
        linear_apply(sizes->kernels, layers[i], &rows, work->panel);
    }
    normalise_heads(sizes, share->rows, stride, share->stream->q_norm, q);
    normalise_heads(sizes, share->rows, stride, share->stream->k_norm, q + d);
}

/* A layer's result enters the residual stream: x += gate * result. */
static void add_gated(const struct flux2_sizes *sizes,
                      const struct linear *linear,
                      struct linear_rows rows, /* its input */
                      const float *gate,
                      float *x,
                      const struct flux2_work *work)
{
    rows.out = x;
    rows.out_stride = sizes->width;
    rows.add = true;
    rows.gate = gate;
    linear_apply(sizes->kernels, linear, &rows, work->panel);
}

/* What follows the joint attention: output layer, then feed-forward, both gated. */
static void finish(const struct flux2_sizes *sizes,
                   const struct share *share,
                   const struct flux2_item *item,
                   const struct flux2_work *work)
{
    size_t d = sizes->width, mlp = sizes->mlp, n = share->rows;
    const float *modulation = share->modulation;
    float *x = item->x + share->first * d, *normed = work->normed;

    struct linear_rows attended = {
        .rows = n, .in = work->joined + share->first * d, .in_stride = d};
    add_gated(sizes, &share->stream->out, attended, modulation + 2 * d, x, work);

    modulate(sizes, n, x, modulation + 3 * d, normed);
    struct linear_rows in = {
        .rows = n, .in = normed, .in_stride = d, .out = work->wide, .out_stride = mlp};
    linear_apply(sizes->kernels, &share->stream->ff_in, &in, work->panel);
    struct linear_rows hidden = {.rows = n, .in = work->wide, .in_stride = mlp};
    add_gated(sizes, &share->stream->ff_out, hidden, modulation + 5 * d, x, work);
}

void flux2_double_block_apply(const struct flux2_sizes *sizes,
                              const struct flux2_double_block *block,
                              const struct flux2_item *item,
                              const struct flux2_work *work)
{
    const struct share shares[] = {
        {&block->text, item->text_modulation, 0, item->text_tokens},
        {&block->image, item->image_modulation, item->text_tokens, item->image_tokens},
    };
    for (size_t i = 0; i < 2; i++)
        project(sizes, &shares[i], item, work);
    attend(sizes, item, work, sizes->width);
    for (size_t i = 0; i < 2; i++)
        finish(sizes, &shares[i], item, work);
}

void flux2_single_block_apply(const struct flux2_sizes *sizes,
                              const struct flux2_single_block *block,
                              const struct flux2_item *item,
                              const struct flux2_work *work)
{
    size_t d = sizes->width, n = item->text_tokens + item->image_tokens;
    size_t joined = d + sizes->mlp;

    modulate(sizes, n, item->x, item->single_modulation, work->normed);
    struct linear_rows in = {.rows = n,
                             .in = work->normed,
                             .in_stride = d,
                             .out = work->wide,
                             .out_stride = 3 * d};
    linear_apply(sizes->kernels, &block->qkv, &in, work->panel);
    in.out = work->joined + d;
    in.out_stride = joined;
    linear_apply(sizes->kernels, &block->mlp, &in, work->panel);

    normalise_heads(sizes, n, 3 * d, block->q_norm, work->wide);
    normalise_heads(sizes, n, 3 * d, block->k_norm, work->wide + d);
    attend(sizes, item, work, joined);
    struct linear_rows out = {.rows = n, .in = work->joined, .in_stride = joined};
    add_gated(sizes, &block->out, out, item->single_modulation + 2 * d, item->x, work);
}
