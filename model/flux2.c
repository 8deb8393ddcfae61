#include "model/flux2.h"

#include "base/size.h"
#include "model/compute.h"
#include "model/flux2_blocks.h"
#include "model/flux2_config.h"
#include "model/flux2_embed.h"
#include "model/weights.h"

#include <stdlib.h>

/* Of items that go through a block together: so few that their rows stay in cache. */
enum { GROUP_TOKENS = 768 };

struct flux2 {
    const struct kernels *kernels;
    struct flux2_config config;
    struct linear image_in, context_in, time_in, time_out;
    struct linear image_modulation, text_modulation, single_modulation;
    struct linear norm_out, out;
    struct flux2_double_block *double_blocks;
    struct flux2_single_block *single_blocks;
};

/* A call's items. Their modulation lies side by side. */
struct batch {
    const struct velocity_item *in;
    struct flux2_item *items;
    size_t n;
    float *image_modulation, *text_modulation; /* [n, 6 D] */
    float *single_modulation;                  /* [n, 3 D] */
    float *out_modulation;                     /* [n, 2 D] */
    struct flux2_work work;
};

static void bind_double_blocks(struct flux2 *m, struct weights *w)
{
    size_t d = m->config.sizes.width, mlp = m->config.sizes.mlp,
           head = m->config.sizes.head_size;
    /* The same layers under the names that diffusers gives them in either stream. */
    static const struct {
        const char *q, *k, *v, *out, *q_norm, *k_norm, *ff_in, *ff_out;
    } names[] = {
        {"attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "attn.norm_q.weight",
         "attn.norm_k.weight", "ff.linear_in", "ff.linear_out"},
        {"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out",
         "attn.norm_added_q.weight", "attn.norm_added_k.weight", "ff_context.linear_in",
         "ff_context.linear_out"},
    };
    for (size_t i = 0; i < m->config.n_double; i++) {
        struct flux2_stream *streams[] = {&m->double_blocks[i].image,
                                          &m->double_blocks[i].text};
        weights_prefix(w, "transformer_blocks.%zu.", i);
        for (size_t s = 0; s < 2; s++) {
            weights_linear(w, &streams[s]->q, names[s].q, d, d, false);
            weights_linear(w, &streams[s]->k, names[s].k, d, d, false);
            weights_linear(w, &streams[s]->v, names[s].v, d, d, false);
            weights_linear(w, &streams[s]->out, names[s].out, d, d, false);
            weights_vector(w, &streams[s]->q_norm, names[s].q_norm, head);
            weights_vector(w, &streams[s]->k_norm, names[s].k_norm, head);
            streams[s]->ff_in.outputs = mlp;
            weights_linear_gated(w, NULL, &streams[s]->ff_in, names[s].ff_in, d);
            weights_linear(w, &streams[s]->ff_out, names[s].ff_out, d, mlp, false);
        }
    }
}

static void bind(void *self, struct weights *w)
{
    struct flux2 *m = self;
    size_t d = m->config.sizes.width, mlp = m->config.sizes.mlp,
           head = m->config.sizes.head_size;
    weights_prefix(w, "%s", "");
    weights_linear(w, &m->image_in, "x_embedder", d, m->config.channels, false);
    weights_linear(w, &m->context_in, "context_embedder", d, m->config.context_width,
                   false);
    weights_linear(w, &m->image_modulation, "double_stream_modulation_img.linear", 6 * d,
                   d, false);
    weights_linear(w, &m->text_modulation, "double_stream_modulation_txt.linear", 6 * d,
                   d, false);
    weights_linear(w, &m->single_modulation, "single_stream_modulation.linear", 3 * d, d,
                   false);
    weights_linear(w, &m->norm_out, "norm_out.linear", 2 * d, d, false);
    weights_linear(w, &m->out, "proj_out", m->config.channels, d, false);
    weights_prefix(w, "time_guidance_embed.timestep_embedder.");
    weights_linear(w, &m->time_in, "linear_1", d, m->config.time_channels, false);
    weights_linear(w, &m->time_out, "linear_2", d, d, false);
    bind_double_blocks(m, w);
    for (size_t i = 0; i < m->config.n_single; i++) {
        struct flux2_single_block *block = &m->single_blocks[i];
        weights_prefix(w, "single_transformer_blocks.%zu.attn.", i);
        block->qkv.outputs = 3 * d;
        block->mlp.outputs = mlp;
        weights_linear_gated(w, &block->qkv, &block->mlp, "to_qkv_mlp_proj", d);
        weights_linear(w, &block->out, "to_out", d, d + mlp, false);
        weights_vector(w, &block->q_norm, "norm_q.weight", head);
        weights_vector(w, &block->k_norm, "norm_k.weight", head);
    }
}

static void destroy(void *self)
{
    struct flux2 *m = self;
    free(m->double_blocks);
    free(m->single_blocks);
    free(m);
}

/* Vectors of some items through a layer, as so many arrays of one row: with OpenBLAS a
 * sum depends on how many rows there are. Fills in `rows`. */
static struct compute_layer vector_layer(const struct linear *linear,
                                         size_t n,
                                         const float *in,
                                         float *out,
                                         struct linear_rows *rows)
{
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct linear_rows){.rows = 1,
                                       .in = in + i * linear->inputs,
                                       .in_stride = linear->inputs,
                                       .out = out + i * linear->outputs,
                                       .out_stride = linear->outputs};
    return (struct compute_layer){linear, rows, n};
}

/* What each item's time becomes: the modulation vectors of every kind of block. */
static void modulate_by_time(const struct flux2 *m,
                             const struct compute *compute,
                             const struct batch *batch,
                             size_t first,
                             size_t n)
{
    /* The work buffers are free before the blocks start. */
    float *embedding = batch->work.wide, *hidden = batch->work.joined,
          *time = batch->work.normed;
    size_t d = m->config.sizes.width;
    struct flux2_item *items = batch->items + first;
    for (size_t i = 0; i < n; i++) {
        flux2_embed_time(&m->config, batch->in[first + i].t,
                         embedding + i * m->config.time_channels);
        items[i].image_modulation = batch->image_modulation + (first + i) * 6 * d;
        items[i].text_modulation = batch->text_modulation + (first + i) * 6 * d;
        items[i].single_modulation = batch->single_modulation + (first + i) * 3 * d;
    }
    struct linear_rows rows[4][FLUX2_GROUP_ITEMS];
    struct compute_layer layer = vector_layer(&m->time_in, n, embedding, hidden, rows[0]);
    compute_layers(compute, &layer, 1);
    compute->kernels->each->silu(hidden, n * d);
    layer = vector_layer(&m->time_out, n, hidden, time, rows[0]);
    compute_layers(compute, &layer, 1);
    compute->kernels->each->silu(time, n * d);
    const struct compute_layer layers[] = {
        vector_layer(&m->image_modulation, n, time,
                     batch->image_modulation + first * 6 * d, rows[0]),
        vector_layer(&m->text_modulation, n, time, batch->text_modulation + first * 6 * d,
                     rows[1]),
        vector_layer(&m->single_modulation, n, time,
                     batch->single_modulation + first * 3 * d, rows[2]),
        vector_layer(&m->norm_out, n, time, batch->out_modulation + first * 2 * d,
                     rows[3]),
    };
    compute_layers(compute, layers, 4);
}

static void lay_out_item(const struct flux2 *m,
                         size_t text,
                         size_t image,
                         struct arena *arena,
                         struct flux2_item *item)
{
    size_t tokens = size_add(text, image), half = m->config.sizes.head_size / 2;
    item->text_tokens = text;
    item->image_tokens = image;
    item->x = arena_take_floats(arena, size_multiply(tokens, m->config.sizes.width));
    item->cosine = arena_take_floats(arena, size_multiply(tokens, half));
    item->sine = arena_take_floats(arena, size_multiply(tokens, half));
}

/* What n items share: `tokens` of the largest, `total` of all. */
static void lay_out_shared(const struct flux2 *m,
                           size_t tokens,
                           size_t total,
                           struct arena *arena,
                           struct batch *batch)
{
    size_t n = batch->n, d = m->config.sizes.width;
    batch->image_modulation = arena_take_floats(arena, size_multiply(n, 6 * d));
    batch->text_modulation = arena_take_floats(arena, size_multiply(n, 6 * d));
    batch->single_modulation = arena_take_floats(arena, size_multiply(n, 3 * d));
    batch->out_modulation = arena_take_floats(arena, size_multiply(n, 2 * d));
    /* The times' embeddings use the buffers of the blocks. */
    size_t rows = FLUX2_GROUP_ITEMS * (m->config.time_channels / d + 1);
    rows = size_max(rows, size_min(total, size_max(tokens, GROUP_TOKENS)));
    flux2_work_lay_out(&m->config.sizes, rows, arena, &batch->work);
}

/* The rotation angles of item i: those of the item before it, where that has the same
 * shape. */
static void set_angles(const struct flux2 *m, const struct batch *batch, size_t i)
{
    const struct velocity_item *in = &batch->in[i];
    struct flux2_item *item = &batch->items[i];
    const struct flux2_grid grid = {in->condition->tokens, in->height, in->width};
    if (i > 0 && in[-1].condition->tokens == grid.text && in[-1].height == grid.height &&
        in[-1].width == grid.width) {
        item->cosine = item[-1].cosine;
        item->sine = item[-1].sine;
        return;
    }
    flux2_embed_positions(&m->config, &grid, batch->work.wide, item->cosine, item->sine);
}

/* Everything before the first block. */
static void start_item(const struct flux2 *m,
                       const struct compute *compute,
                       const struct batch *batch,
                       size_t i)
{
    const struct velocity_item *in = &batch->in[i];
    const struct flux2_item *item = &batch->items[i];
    size_t d = m->config.sizes.width, text = in->condition->tokens;
    set_angles(m, batch, i);
    const struct linear_rows rows[] = {
        {.rows = text,
         .in = in->condition->context,
         .in_stride = m->config.context_width,
         .out = item->x,
         .out_stride = d},
        {.rows = in->height * in->width,
         .in = in->x,
         .in_stride = m->config.channels,
         .out = item->x + text * d,
         .out_stride = d},
    };
    const struct compute_layer layers[] = {{&m->context_in, &rows[0], 1},
                                           {&m->image_in, &rows[1], 1}};
    compute_layers(compute, layers, 2);
}

/* Everything behind the last block. The final norm has scale first, then shift: the only
 * place in this model (AdaLayerNormContinuous). */
static void finish_item(const struct flux2 *m,
                        const struct compute *compute,
                        const struct batch *batch,
                        size_t i)
{
    const struct velocity_item *out = &batch->in[i];
    size_t d = m->config.sizes.width, image = out->height * out->width;
    struct norm_modulated norm = {
        .rows = image,
        .n = d,
        .in = batch->items[i].x + batch->items[i].text_tokens * d,
        .scale = batch->out_modulation + i * 2 * d,
        .shift = batch->out_modulation + i * 2 * d + d,
        .out = batch->work.normed,
        .epsilon = m->config.sizes.epsilon,
    };
    compute_norms(compute, &norm, 1);
    struct linear_rows rows = {.rows = image,
                               .in = batch->work.normed,
                               .in_stride = d,
                               .out = out->v,
                               .out_stride = m->config.channels};
    compute_linear(compute, &m->out, &rows);
}

/* As many items from `first` on as go through a block together. */
static size_t group_size(const struct batch *batch, size_t first)
{
    size_t n = 0, tokens = 0;
    for (; first + n < batch->n && n < FLUX2_GROUP_ITEMS; n++) {
        const struct flux2_item *item = &batch->items[first + n];
        tokens += item->text_tokens + item->image_tokens;
        if (n > 0 && tokens > GROUP_TOKENS)
            break;
    }
    return n;
}

/* Blocks outside, items inside: a block's weights are read from memory once a batch. */
static enum err_code run_blocks(const struct flux2 *m,
                                const struct compute *compute,
                                const struct batch *batch,
                                struct err *err)
{
    size_t n_blocks = m->config.n_double + m->config.n_single;
    struct flux2_group group = {
        .compute = compute, .sizes = &m->config.sizes, .work = &batch->work};
    for (size_t b = 0; b < n_blocks; b++) {
        enum err_code code = run_check(compute->run, err);
        if (code != ERR_OK)
            return code;
        group.is_last = b + 1 == n_blocks;
        for (size_t first = 0; first < batch->n; first += group.n) {
            group.items = batch->items + first;
            group.n = group_size(batch, first);
            if (b < m->config.n_double)
                flux2_double_block_apply(&group, &m->double_blocks[b]);
            else
                flux2_single_block_apply(&group,
                                         &m->single_blocks[b - m->config.n_double]);
        }
    }
    return ERR_OK;
}

static struct compute_sizes unit_sizes(const struct flux2 *m, size_t tokens)
{
    return (struct compute_sizes){.keys = tokens, .head_size = m->config.sizes.head_size};
}

static enum err_code lay_out(const struct flux2 *m,
                             const struct run *run,
                             struct batch *batch,
                             struct err *err)
{
    size_t most = 0, total = 0;
    batch->items = arena_take(run->scratch, batch->n, sizeof(*batch->items));
    enum err_code code = arena_check(run->scratch, "a batch", err);
    for (size_t i = 0; code == ERR_OK && i < batch->n; i++) {
        const struct velocity_item *in = &batch->in[i];
        size_t text = in->condition->tokens, image = in->height * in->width;
        if (in->condition->width != m->config.context_width)
            code = err_set(err, ERR_INVALID, "a context %zu wide, expected %zu",
                           in->condition->width, m->config.context_width);
        else
            lay_out_item(m, text, image, run->scratch, &batch->items[i]);
        most = size_max(most, text + image);
        total += text + image;
    }
    if (code != ERR_OK)
        return code;
    lay_out_shared(m, most, total, run->scratch, batch);
    struct compute_sizes unit = unit_sizes(m, most);
    return compute_check_scratch(&unit, run->scratch, "a batch", err);
}

static enum err_code eval(const void *self,
                          const struct run *run,
                          const struct velocity_item *items,
                          size_t n,
                          struct err *err)
{
    const struct flux2 *m = self;
    const struct compute context = {m->kernels, run}, *compute = &context;
    struct batch batch = {.in = items, .n = n};
    size_t mark = arena_mark(run->scratch);
    enum err_code code = lay_out(m, run, &batch, err);
    if (code == ERR_OK) {
        for (size_t i = 0; i < n; i += FLUX2_GROUP_ITEMS)
            modulate_by_time(m, compute, &batch, i, size_min(FLUX2_GROUP_ITEMS, n - i));
        for (size_t i = 0; i < n; i++)
            start_item(m, compute, &batch, i);
        code = run_blocks(m, compute, &batch, err);
    }
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        finish_item(m, compute, &batch, i);
    arena_rewind(run->scratch, mark);
    return code;
}

static size_t scratch(const void *self, const struct velocity_load *load)
{
    const struct flux2 *m = self;
    struct arena arena;
    struct flux2_item item;
    struct batch batch = {.n = load->items};
    size_t tokens = size_add(load->latent_tokens, load->text_tokens);
    size_t total =
        size_add(load->total_tokens, size_multiply(load->items, load->text_tokens));
    arena_init_measuring(&arena);
    (void)arena_take(&arena, load->items, sizeof(item));
    lay_out_shared(m, tokens, total, &arena, &batch);
    struct compute_sizes unit = unit_sizes(m, tokens);
    size_t shared = size_add(arena.used, compute_scratch(&unit));

    /* Items share total_tokens between them: one holds all of it, and each of the others
     * adds what an item without image has, rounded up to cache lines. */
    arena_init_measuring(&arena);
    lay_out_item(m, load->text_tokens, load->total_tokens, &arena, &item);
    size_t largest = arena.used;
    arena_init_measuring(&arena);
    lay_out_item(m, load->text_tokens, 1, &arena, &item);
    return size_add(shared, size_add(largest, size_multiply(load->items, arena.used)));
}

static enum err_code configure(struct flux2 *m, const char *folder, struct err *err)
{
    enum err_code code = flux2_config_read(&m->config, folder, err);
    if (code != ERR_OK)
        return code;

    m->double_blocks = calloc(m->config.n_double + 1, sizeof(*m->double_blocks));
    m->single_blocks = calloc(m->config.n_single + 1, sizeof(*m->single_blocks));
    if (m->double_blocks == NULL || m->single_blocks == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", folder);
    return ERR_OK;
}

enum err_code flux2_open(struct component *component,
                         struct velocity *velocity,
                         const char *folder,
                         const struct kernels *kernels,
                         struct err *err)
{
    struct flux2 *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", folder);
    m->kernels = kernels;
    enum err_code code = configure(m, folder, err);
    if (code != ERR_OK) {
        destroy(m);
        return code;
    }
    *component = (struct component){.self = m, .bind = bind, .destroy = destroy};
    code = component_open(component, folder, "diffusion_pytorch_model", kernels, err);
    if (code != ERR_OK)
        return code;
    *velocity = (struct velocity){
        .self = m,
        .channels = m->config.channels,
        .context_width = m->config.context_width,
        .eval = eval,
        .scratch = scratch,
    };
    return ERR_OK;
}
