#include "model/flux2_blocks.h"

#include "base/size.h"
#include "model/kernels/activation.h"
#include "model/kernels/attention.h"
#include "model/kernels/norm.h"
#include "model/kernels/rotary.h"

void flux2_work_lay_out(const struct flux2_sizes *sizes,
                        size_t tokens,
                        struct arena *arena,
                        struct flux2_work *work)
{
    size_t wide = 3 * sizes->width + 2 * sizes->mlp, joined = sizes->width + sizes->mlp;
    work->normed = arena_take_floats(arena, size_multiply(tokens, sizes->width));
    work->wide = arena_take_floats(arena, size_multiply(tokens, wide));
    work->joined = arena_take_floats(arena, size_multiply(tokens, joined));
    work->scores = arena_take_floats(arena, attention_scratch(tokens));
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
    norm_modulated(&norm);
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
        norm_rms(&norm);
    }
}

/* Rotates q and k, which lie with v in rows of `stride` floats, and attends over all
 * tokens: padding of the text is seen too. */
static void attend(const struct flux2_sizes *sizes,
                   const struct flux2_item *item,
                   size_t stride,
                   const struct flux2_work *work,
                   size_t out_stride)
{
    size_t tokens = item->text_tokens + item->image_tokens;
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
    rotary_apply(&rotary);
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
    attention_apply(&attention, work->scores);
}

static void apply(const struct linear *linear,
                  const struct linear_rows *rows,
                  const struct flux2_work *work)
{
    linear_apply(linear, rows, work->panel);
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
        struct linear_rows rows = {share->rows, normed, d, q + i * d, stride};
        apply(layers[i], &rows, work);
    }
    normalise_heads(sizes, share->rows, stride, share->stream->q_norm, q);
    normalise_heads(sizes, share->rows, stride, share->stream->k_norm, q + d);
}

/* x += gate * y, row by row. */
static void
add_gated(size_t rows, size_t width, float *x, const float *gate, const float *y)
{
    for (size_t r = 0; r < rows; r++)
        activation_add_gated(x + r * width, gate, y + r * width, width);
}

/* What follows the joint attention: output layer, then feed-forward, both gated. */
static void finish(const struct flux2_sizes *sizes,
                   const struct share *share,
                   const struct flux2_item *item,
                   const struct flux2_work *work)
{
    size_t d = sizes->width, n = share->rows;
    const float *modulation = share->modulation;
    float *x = item->x + share->first * d, *normed = work->normed;

    struct linear_rows out = {n, work->joined + share->first * d, d, normed, d};
    apply(&share->stream->out, &out, work);
    add_gated(n, d, x, modulation + 2 * d, normed);

    modulate(sizes, n, x, modulation + 3 * d, normed);
    struct linear_rows in = {n, normed, d, work->wide, 2 * sizes->mlp};
    apply(&share->stream->ff_in, &in, work);
    for (size_t r = 0; r < n; r++) {
        float *gate = work->wide + r * 2 * sizes->mlp;
        activation_gated(gate, gate + sizes->mlp, gate, sizes->mlp);
    }
    struct linear_rows back = {n, work->wide, 2 * sizes->mlp, normed, d};
    apply(&share->stream->ff_out, &back, work);
    add_gated(n, d, x, modulation + 5 * d, normed);
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
    attend(sizes, item, 3 * sizes->width, work, sizes->width);
    for (size_t i = 0; i < 2; i++)
        finish(sizes, &shares[i], item, work);
}

void flux2_single_block_apply(const struct flux2_sizes *sizes,
                              const struct flux2_single_block *block,
                              const struct flux2_item *item,
                              const struct flux2_work *work)
{
    size_t d = sizes->width, n = item->text_tokens + item->image_tokens;
    size_t wide = 3 * d + 2 * sizes->mlp, joined = d + sizes->mlp;

    modulate(sizes, n, item->x, item->single_modulation, work->normed);
    struct linear_rows in = {n, work->normed, d, work->wide, wide};
    apply(&block->in, &in, work);
    normalise_heads(sizes, n, wide, block->q_norm, work->wide);
    normalise_heads(sizes, n, wide, block->k_norm, work->wide + d);
    attend(sizes, item, wide, work, joined);
    for (size_t r = 0; r < n; r++) {
        const float *gate = work->wide + r * wide + 3 * d;
        activation_gated(gate, gate + sizes->mlp, work->joined + r * joined + d,
                         sizes->mlp);
    }
    struct linear_rows out = {n, work->joined, joined, work->normed, d};
    apply(&block->out, &out, work);
    add_gated(n, d, item->x, item->single_modulation + 2 * d, work->normed);
}
