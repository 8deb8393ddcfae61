#include "model/flux2.h"

#include "base/elementary.h"
#include "base/size.h"
#include "model/compute.h"
#include "model/flux2_blocks.h"
#include "model/flux2_config.h"
#include "model/kernels/rotary.h"
#include "model/weights.h"

#include <stdlib.h>

/* The position of a token has four coordinates: time, height, width, place in the text.
 */
enum { TIME_SCALE = 1000 };

struct flux2 {
    const struct kernels *kernels;
    struct flux2_config config;
    struct linear image_in, context_in, time_in, time_out;
    struct linear image_modulation, text_modulation, single_modulation;
    struct linear norm_out, out;
    struct flux2_double_block *double_blocks;
    struct flux2_single_block *single_blocks;
};

/* What one item keeps from the first block to the last. */
struct item_state {
    struct flux2_item item;
    float *image_modulation, *text_modulation, *single_modulation, *out_modulation;
    float *cosine, *sine;
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

/* One vector through a layer. */
static void apply_vector(const struct compute *compute,
                         const struct linear *linear,
                         const float *in,
                         float *out)
{
    struct linear_rows rows = {.rows = 1,
                               .in = in,
                               .in_stride = linear->inputs,
                               .out = out,
                               .out_stride = linear->outputs};
    compute_linear(compute, linear, &rows);
}

/* The time as cosines and sines of falling frequencies (diffusers embeddings.py,
 * get_timestep_embedding with flip_sin_to_cos), in float32 as there: at t = 1000 a
 * different rounding of the angle would show in the result. */
static void embed_time(const struct flux2 *m, float t, float *embedding)
{
    size_t half = m->config.time_channels / 2;
    for (size_t k = 0; k < half; k++) {
        float exponent = (float)-elementary_log(10000.0) * (float)k / (float)half;
        float angle = t * (float)TIME_SCALE * (float)elementary_exp((double)exponent);
        embedding[k] = (float)elementary_cos((double)angle);
        embedding[half + k] = (float)elementary_sin((double)angle);
    }
}

/* What the time becomes: the modulation vectors of every kind of block. */
static void modulate_by_time(const struct flux2 *m,
                             const struct compute *compute,
                             float t,
                             const struct item_state *state,
                             const struct flux2_work *work)
{
    /* The work buffers are free before the blocks start. */
    float *embedding = work->wide, *hidden = work->joined, *time = work->normed;
    embed_time(m, t, embedding);
    apply_vector(compute, &m->time_in, embedding, hidden);
    compute->kernels->each->silu(hidden, m->config.sizes.width);
    apply_vector(compute, &m->time_out, hidden, time);
    compute->kernels->each->silu(time, m->config.sizes.width);
    apply_vector(compute, &m->image_modulation, time, state->image_modulation);
    apply_vector(compute, &m->text_modulation, time, state->text_modulation);
    apply_vector(compute, &m->single_modulation, time, state->single_modulation);
    apply_vector(compute, &m->norm_out, time, state->out_modulation);
}

static void set_angles(const struct flux2 *m,
                       size_t token,
                       const size_t position[FLUX2_AXES],
                       const struct item_state *state)
{
    size_t at = token * (m->config.sizes.head_size / 2);
    for (size_t a = 0; a < FLUX2_AXES; a++) {
        rotary_angles((double)position[a], m->config.theta, m->config.axes[a],
                      state->cosine + at, state->sine + at);
        at += m->config.axes[a] / 2;
    }
}

/* Positions as the klein pipeline numbers them: text token i is (0, 0, 0, i), the image
 * token at (h, w) is (0, h, w, 0). */
static void set_positions(const struct flux2 *m,
                          const struct velocity_item *in,
                          const struct item_state *state)
{
    size_t text = in->condition->tokens;
    for (size_t i = 0; i < text; i++)
        set_angles(m, i, (size_t[FLUX2_AXES]){0, 0, 0, i}, state);
    for (size_t h = 0; h < in->height; h++) {
        for (size_t w = 0; w < in->width; w++)
            set_angles(m, text + h * in->width + w, (size_t[FLUX2_AXES]){0, h, w, 0},
                       state);
    }
}

static void lay_out_item(const struct flux2 *m,
                         size_t text,
                         size_t image,
                         struct arena *arena,
                         struct item_state *state)
{
    size_t d = m->config.sizes.width, tokens = size_add(text, image),
           half = m->config.sizes.head_size / 2;
    state->item.text_tokens = text;
    state->item.image_tokens = image;
    state->item.x = arena_take_floats(arena, size_multiply(tokens, d));
    state->image_modulation = arena_take_floats(arena, 6 * d);
    state->text_modulation = arena_take_floats(arena, 6 * d);
    state->single_modulation = arena_take_floats(arena, 3 * d);
    state->out_modulation = arena_take_floats(arena, 2 * d);
    state->cosine = arena_take_floats(arena, size_multiply(tokens, half));
    state->sine = arena_take_floats(arena, size_multiply(tokens, half));
    state->item.image_modulation = state->image_modulation;
    state->item.text_modulation = state->text_modulation;
    state->item.single_modulation = state->single_modulation;
    state->item.cosine = state->cosine;
    state->item.sine = state->sine;
}

/* Everything before the first block. */
static void start_item(const struct flux2 *m,
                       const struct compute *compute,
                       const struct velocity_item *in,
                       const struct item_state *state,
                       const struct flux2_work *work)
{
    size_t d = m->config.sizes.width, text = in->condition->tokens;
    modulate_by_time(m, compute, in->t, state, work);
    set_positions(m, in, state);
    struct linear_rows context = {.rows = text,
                                  .in = in->condition->context,
                                  .in_stride = m->config.context_width,
                                  .out = state->item.x,
                                  .out_stride = d};
    compute_linear(compute, &m->context_in, &context);
    struct linear_rows image = {.rows = in->height * in->width,
                                .in = in->x,
                                .in_stride = m->config.channels,
                                .out = state->item.x + text * d,
                                .out_stride = d};
    compute_linear(compute, &m->image_in, &image);
}

/* Everything behind the last block. The final norm has scale first, then shift: the only
 * place in this model (AdaLayerNormContinuous). */
static void finish_item(const struct flux2 *m,
                        const struct compute *compute,
                        const struct velocity_item *out,
                        const struct item_state *state,
                        const struct flux2_work *work)
{
    size_t d = m->config.sizes.width, image = out->height * out->width;
    struct norm_modulated norm = {
        .rows = image,
        .n = d,
        .in = state->item.x + state->item.text_tokens * d,
        .scale = state->out_modulation,
        .shift = state->out_modulation + d,
        .out = work->normed,
        .epsilon = m->config.sizes.epsilon,
    };
    compute->kernels->each->norm_modulated(&norm);
    struct linear_rows rows = {.rows = image,
                               .in = work->normed,
                               .in_stride = d,
                               .out = out->v,
                               .out_stride = m->config.channels};
    compute_linear(compute, &m->out, &rows);
}

/* Blocks outside, items inside: a block's weights are read from memory once a batch. */
static enum err_code run_blocks(const struct flux2 *m,
                                const struct compute *compute,
                                const struct item_state *states,
                                size_t n,
                                const struct flux2_work *work,
                                struct err *err)
{
    for (size_t b = 0; b < m->config.n_double + m->config.n_single; b++) {
        enum err_code code = run_check(compute->run, err);
        if (code != ERR_OK)
            return code;
        for (size_t i = 0; i < n; i++) {
            if (b < m->config.n_double)
                flux2_double_block_apply(compute, &m->config.sizes, &m->double_blocks[b],
                                         &states[i].item, work);
            else
                flux2_single_block_apply(compute, &m->config.sizes,
                                         &m->single_blocks[b - m->config.n_double],
                                         &states[i].item, work);
        }
    }
    return ERR_OK;
}

/* The time's embedding uses the buffers of the blocks. */
static void lay_out_work(const struct flux2 *m,
                         size_t tokens,
                         struct arena *arena,
                         struct flux2_work *work)
{
    size_t rows = size_max(tokens, m->config.time_channels / m->config.sizes.width + 1);
    flux2_work_lay_out(&m->config.sizes, rows, arena, work);
}

static struct compute_sizes unit_sizes(const struct flux2 *m, size_t tokens)
{
    return (struct compute_sizes){.keys = tokens, .head_size = m->config.sizes.head_size};
}

static enum err_code eval(const void *self,
                          const struct run *run,
                          const struct velocity_item *items,
                          size_t n,
                          struct err *err)
{
    const struct flux2 *m = self;
    const struct compute context = {m->kernels, run}, *compute = &context;
    size_t mark = arena_mark(run->scratch), most = 0;
    struct item_state *states = arena_take(run->scratch, n, sizeof(*states));
    enum err_code code = arena_check(run->scratch, "a batch", err);
    for (size_t i = 0; code == ERR_OK && i < n; i++) {
        size_t text = items[i].condition->tokens,
               image = items[i].height * items[i].width;
        if (items[i].condition->width != m->config.context_width)
            code = err_set(err, ERR_INVALID, "a context %zu wide, expected %zu",
                           items[i].condition->width, m->config.context_width);
        else
            lay_out_item(m, text, image, run->scratch, &states[i]);
        most = size_max(most, text + image);
    }
    struct flux2_work work;
    if (code == ERR_OK) {
        lay_out_work(m, most, run->scratch, &work);
        struct compute_sizes unit = unit_sizes(m, most);
        code = compute_check_scratch(&unit, run->scratch, "a batch", err);
    }
    if (code == ERR_OK) {
        for (size_t i = 0; i < n; i++)
            start_item(m, compute, &items[i], &states[i], &work);
        code = run_blocks(m, compute, states, n, &work, err);
    }
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        finish_item(m, compute, &items[i], &states[i], &work);
    arena_rewind(run->scratch, mark);
    return code;
}

static size_t scratch(const void *self, const struct velocity_load *load)
{
    const struct flux2 *m = self;
    struct arena arena;
    struct item_state state;
    struct flux2_work work;
    arena_init_measuring(&arena);
    (void)arena_take(&arena, load->items, sizeof(state));
    lay_out_work(m, size_add(load->latent_tokens, load->text_tokens), &arena, &work);
    size_t tokens = size_add(load->latent_tokens, load->text_tokens);
    struct compute_sizes unit = unit_sizes(m, tokens);
    size_t shared = size_add(arena.used, compute_scratch(&unit));

    /* Items share total_tokens between them: one holds all of it, and each of the others
     * adds what an item without image has, rounded up to cache lines. */
    arena_init_measuring(&arena);
    lay_out_item(m, load->text_tokens, load->total_tokens, &arena, &state);
    size_t largest = arena.used;
    arena_init_measuring(&arena);
    lay_out_item(m, load->text_tokens, 1, &arena, &state);
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
