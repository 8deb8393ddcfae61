#include "model/flux2_blocks.h"

#include "base/size.h"

enum { TEXT, IMAGE, STREAMS };

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

/* Some tokens of an item that a layer works on. */
struct span {
    size_t first, rows; /* where they stand in the work buffers */
    float *x;
    const float *modulation;
};

/* One span an item, of each kind. */
struct spans {
    size_t n;
    struct span text[FLUX2_GROUP_ITEMS], image[FLUX2_GROUP_ITEMS], all[FLUX2_GROUP_ITEMS];
};

/* The spans of a double block with the modulation of either stream, or those of a single
 * block. */
static void
set_spans(const struct flux2_group *group, bool is_double, struct spans *spans)
{
    size_t first = 0;
    spans->n = group->n;
    for (size_t i = 0; i < group->n; i++) {
        const struct flux2_item *item = &group->items[i];
        const float *text = is_double ? item->text_modulation : item->single_modulation;
        const float *image = is_double ? item->image_modulation : item->single_modulation;
        size_t tokens = item->text_tokens + item->image_tokens;
        spans->all[i] = (struct span){first, tokens, item->x, text};
        spans->text[i] = (struct span){first, item->text_tokens, item->x, text};
        spans->image[i] =
            (struct span){first + item->text_tokens, item->image_tokens,
                          item->x + item->text_tokens * group->sizes->width, image};
        first += tokens;
    }
}

/* A work buffer, from some column on. */
struct buffer {
    float *at;
    size_t stride;
};

/* A layer from one buffer to another, for n spans; fills in as many rows. */
static struct compute_layer layer_of(const struct linear *linear,
                                     const struct span *spans,
                                     size_t n,
                                     struct buffer in,
                                     struct buffer out,
                                     struct linear_rows *rows)
{
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct linear_rows){
            .rows = spans[i].rows,
            .in = in.at + spans[i].first * in.stride,
            .in_stride = in.stride,
            .out = out.at + spans[i].first * out.stride,
            .out_stride = out.stride,
        };
    return (struct compute_layer){linear, rows, n};
}

/* A layer whose result enters the residual stream: x += gate * result, where the gate
 * stands at some place of the modulation. */
static struct compute_layer adding_layer_of(const struct linear *linear,
                                            const struct span *spans,
                                            size_t n,
                                            struct buffer in,
                                            size_t gate,
                                            struct linear_rows *rows)
{
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct linear_rows){
            .rows = spans[i].rows,
            .in = in.at + spans[i].first * in.stride,
            .in_stride = in.stride,
            .out = spans[i].x,
            .out_stride = linear->outputs,
            .add = true,
            .gate = spans[i].modulation + gate,
        };
    return (struct compute_layer){linear, rows, n};
}

/* Into work->normed; shift and scale stand at some place of the modulation. */
static size_t set_norms(const struct flux2_group *group,
                        const struct span *spans,
                        size_t n,
                        size_t shift,
                        struct norm_modulated *norms)
{
    size_t d = group->sizes->width;
    for (size_t i = 0; i < n; i++)
        norms[i] = (struct norm_modulated){
            .rows = spans[i].rows,
            .n = d,
            .in = spans[i].x,
            .shift = spans[i].modulation + shift,
            .scale = spans[i].modulation + shift + d,
            .out = group->work->normed + spans[i].first * d,
            .epsilon = group->sizes->epsilon,
        };
    return n;
}

/* The weights of the per-head norms of q and k, in the order [text, image]. */
struct heads {
    const struct flux2_group *group;
    const struct spans *spans;
    const float *norms[2][STREAMS];
};

/* RMSNorm and rotation of one head's q and k: every head is prepared by whoever attends
 * with it. What the last block does not ask, it does not prepare. */
static void prepare_head(const void *context, size_t i, size_t head)
{
    const struct heads *heads = context;
    const struct flux2_group *group = heads->group;
    const struct flux2_sizes *sizes = group->sizes;
    const struct elementwise *each = group->compute->kernels->each;
    const struct span *streams[] = {&heads->spans->text[i], &heads->spans->image[i]};
    size_t d = sizes->width, stride = 3 * d, half = sizes->head_size / 2, token = 0;
    for (size_t s = 0; s < STREAMS; token += streams[s]->rows, s++) {
        for (size_t part = group->is_last && s == TEXT ? 1 : 0; part < 2; part++) {
            float *x = group->work->wide + streams[s]->first * stride + part * d +
                       head * sizes->head_size;
            struct norm_rms norm = {
                .rows = streams[s]->rows,
                .n = sizes->head_size,
                .in_stride = stride,
                .out_stride = stride,
                .in = x,
                .weight = heads->norms[part][s],
                .out = x,
                .epsilon = sizes->epsilon,
            };
            each->norm_rms(&norm);
            struct rotary rotary = {
                .pairs = ROTARY_NEIGHBOURS,
                .tokens = streams[s]->rows,
                .heads = 1,
                .head_size = sizes->head_size,
                .stride = stride,
                .cosine = group->items[i].cosine + token * half,
                .sine = group->items[i].sine + token * half,
                .x = x,
            };
            each->rotary(&rotary);
        }
    }
}

/* Over all tokens of an item: padding of the text is seen too. */
static void attend(const struct heads *heads, size_t out_stride)
{
    const struct flux2_group *group = heads->group;
    const struct flux2_sizes *sizes = group->sizes;
    const struct span *asking = group->is_last ? heads->spans->image : heads->spans->all;
    size_t d = sizes->width, stride = 3 * d;
    struct attention attentions[FLUX2_GROUP_ITEMS];
    for (size_t i = 0; i < group->n; i++) {
        const struct span *all = &heads->spans->all[i];
        attentions[i] = (struct attention){
            .queries = asking[i].rows,
            .keys = all->rows,
            .heads = sizes->heads,
            .key_heads = sizes->heads,
            .head_size = sizes->head_size,
            .q = group->work->wide + asking[i].first * stride,
            .k = group->work->wide + all->first * stride + d,
            .v = group->work->wide + all->first * stride + 2 * d,
            .q_stride = stride,
            .k_stride = stride,
            .v_stride = stride,
            .out = group->work->joined + asking[i].first * out_stride,
            .out_stride = out_stride,
        };
    }
    struct compute_attention work = {attentions, group->n, prepare_head, heads};
    compute_attention(group->compute, &work);
}

/* q, k and v of both streams into the rows that are their tokens' in the joint sequence.
 */
static void project(const struct flux2_group *group,
                    const struct flux2_double_block *block,
                    const struct spans *spans)
{
    const struct flux2_work *work = group->work;
    size_t d = group->sizes->width, n = spans->n;
    const struct linear *linears[STREAMS][3] = {
        {&block->text.q, &block->text.k, &block->text.v},
        {&block->image.q, &block->image.k, &block->image.v},
    };
    const struct span *streams[] = {spans->text, spans->image};
    struct norm_modulated norms[STREAMS * FLUX2_GROUP_ITEMS];
    struct linear_rows rows[STREAMS][3][FLUX2_GROUP_ITEMS];
    struct compute_layer layers[STREAMS * 3];
    size_t n_layers = 0;
    for (size_t s = 0; s < STREAMS; s++) {
        (void)set_norms(group, streams[s], n, 0, norms + s * n);
        for (size_t i = group->is_last && s == TEXT ? 1 : 0; i < 3; i++)
            layers[n_layers++] =
                layer_of(linears[s][i], streams[s], n, (struct buffer){work->normed, d},
                         (struct buffer){work->wide + i * d, 3 * d}, rows[s][i]);
    }
    compute_norms(group->compute, norms, STREAMS * n);
    compute_layers(group->compute, layers, n_layers);
}

/* What follows the joint attention, for the streams from `first` on: output layer, then
 * feed-forward, both gated. */
static void finish(const struct flux2_group *group,
                   const struct flux2_double_block *block,
                   const struct spans *spans,
                   size_t first)
{
    size_t d = group->sizes->width, mlp = group->sizes->mlp, n = spans->n;
    const struct flux2_stream *weights[] = {&block->text, &block->image};
    const struct span *streams[] = {spans->text, spans->image};
    struct buffer normed = {group->work->normed, d}, wide = {group->work->wide, mlp},
                  joined = {group->work->joined, d};
    struct norm_modulated norms[STREAMS * FLUX2_GROUP_ITEMS];
    struct linear_rows rows[STREAMS][3][FLUX2_GROUP_ITEMS];
    struct compute_layer layers[3][STREAMS];
    size_t n_norms = 0;
    for (size_t s = first; s < STREAMS; s++) {
        layers[0][s] =
            adding_layer_of(&weights[s]->out, streams[s], n, joined, 2 * d, rows[s][0]);
        n_norms += set_norms(group, streams[s], n, 3 * d, norms + n_norms);
        layers[1][s] =
            layer_of(&weights[s]->ff_in, streams[s], n, normed, wide, rows[s][1]);
        layers[2][s] =
            adding_layer_of(&weights[s]->ff_out, streams[s], n, wide, 5 * d, rows[s][2]);
    }
    compute_layers(group->compute, layers[0] + first, STREAMS - first);
    compute_norms(group->compute, norms, n_norms);
    compute_layers(group->compute, layers[1] + first, STREAMS - first);
    compute_layers(group->compute, layers[2] + first, STREAMS - first);
}

void flux2_double_block_apply(const struct flux2_group *group,
                              const struct flux2_double_block *block)
{
    struct spans spans;
    set_spans(group, true, &spans);
    project(group, block, &spans);
    const struct heads heads = {
        .group = group,
        .spans = &spans,
        .norms = {{block->text.q_norm, block->image.q_norm},
                  {block->text.k_norm, block->image.k_norm}},
    };
    attend(&heads, group->sizes->width);
    finish(group, block, &spans, group->is_last ? IMAGE : TEXT);
}

void flux2_single_block_apply(const struct flux2_group *group,
                              const struct flux2_single_block *block)
{
    size_t d = group->sizes->width, joined = d + group->sizes->mlp, n = group->n;
    const struct flux2_work *work = group->work;
    struct buffer normed = {work->normed, d}, wide = {work->wide, 3 * d};
    struct spans spans;
    struct norm_modulated norms[FLUX2_GROUP_ITEMS];
    struct linear_rows rows[3][FLUX2_GROUP_ITEMS];
    set_spans(group, false, &spans);
    const struct span *asking = group->is_last ? spans.image : spans.all;

    compute_norms(group->compute, norms, set_norms(group, spans.all, n, 0, norms));
    /* The last block asks nothing for the text's tokens, where q is a part of its own. */
    bool is_split = d % LINEAR_PART == 0;
    const struct linear q = linear_part(&block->qkv, 0, is_split ? d : 3 * d),
                        kv = linear_part(&block->qkv, is_split ? d : 0, 2 * d);
    struct compute_layer layers[] = {
        layer_of(&block->mlp, asking, n, normed,
                 (struct buffer){work->joined + d, joined}, rows[0]),
        layer_of(&q, is_split ? asking : spans.all, n, normed, wide, rows[1]),
        layer_of(&kv, spans.all, n, normed, (struct buffer){work->wide + d, 3 * d},
                 rows[2]),
    };
    compute_layers(group->compute, layers, is_split ? 3 : 2);

    const struct heads heads = {
        .group = group,
        .spans = &spans,
        .norms = {{block->q_norm, block->q_norm}, {block->k_norm, block->k_norm}},
    };
    attend(&heads, joined);
    struct compute_layer out = adding_layer_of(
        &block->out, asking, n, (struct buffer){work->joined, joined}, 2 * d, rows[0]);
    compute_layers(group->compute, &out, 1);
}
