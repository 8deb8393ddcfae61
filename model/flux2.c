#include "model/flux2.h"

#include "base/elementary.h"
#include "base/size.h"
#include "model/config.h"
#include "model/flux2_blocks.h"
#include "model/kernels/rotary.h"
#include "model/weights.h"

#include <stdlib.h>

/* The position of a token has four coordinates: time, height, width, place in the text.
 */
enum { AXES = 4, MAX_BLOCKS = 256, TIME_SCALE = 1000 };

struct flux2 {
    struct flux2_sizes sizes;
    size_t channels, context_width, time_channels;
    size_t n_double, n_single;
    size_t axes[AXES]; /* dimensions of a head turned by each coordinate */
    double theta;
    struct weights *weights;
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

static void read_sizes(struct flux2 *m, struct config *config)
{
    struct flux2_sizes *sizes = &m->sizes;
    m->channels = config_size(config, "in_channels", 4, 1 << 12);
    m->n_double = config_size(config, "num_layers", 0, MAX_BLOCKS);
    m->n_single = config_size(config, "num_single_layers", 0, MAX_BLOCKS);
    sizes->heads = config_size(config, "num_attention_heads", 1, 1 << 10);
    sizes->head_size = config_size(config, "attention_head_dim", 2, 1 << 10);
    sizes->width = sizes->heads * sizes->head_size;
    sizes->mlp = (size_t)((double)sizes->width *
                          config_number_or(config, "mlp_ratio", 0.25, 16.0, 3.0));
    sizes->epsilon = (float)config_number_or(config, "eps", 1e-12, 1.0, 1e-6);
    m->context_width = config_size(config, "joint_attention_dim", 1, 1 << 20);
    m->time_channels =
        config_size_or(config, "timestep_guidance_channels", 2, 1 << 14, 256);
    m->theta = config_number_or(config, "rope_theta", 1.0, 1e12, 2000.0);
}

static void read_config(struct flux2 *m, struct config *config)
{
    config_expect_text(config, "_class_name", "Flux2Transformer2DModel");
    read_sizes(m, config);
    if (config_flag_or(config, "guidance_embeds", true))
        config_refuse(config, "guidance_embeds: only false (klein) is supported");
    (void)config_size_or(config, "patch_size", 1, 1, 1);
    (void)config_size_or(config, "out_channels", m->channels, m->channels, m->channels);
    if (m->channels % 4 != 0)
        config_refuse(config, "in_channels: %zu is not a multiple of 4 (2x2 patches)",
                      m->channels);
    if (m->time_channels % 2 != 0)
        config_refuse(config, "timestep_guidance_channels: %zu is odd", m->time_channels);

    size_t sum = 0, n = config_sizes(config, "axes_dims_rope", 2, 1 << 10, m->axes, AXES);
    for (size_t i = 0; i < AXES; i++) {
        sum += m->axes[i];
        if (m->axes[i] % 2 != 0)
            config_refuse(config, "axes_dims_rope[%zu]: %zu is odd", i, m->axes[i]);
    }
    if (n != AXES || sum != m->sizes.head_size)
        config_refuse(config,
                      "axes_dims_rope: expected %d sizes whose sum is "
                      "attention_head_dim (%zu), found %zu with sum %zu",
                      AXES, m->sizes.head_size, n, sum);
}

static void bind_double_blocks(struct flux2 *m)
{
    struct weights *w = m->weights;
    size_t d = m->sizes.width, mlp = m->sizes.mlp, head = m->sizes.head_size;
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
    for (size_t i = 0; i < m->n_double; i++) {
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

static void bind(void *self)
{
    struct flux2 *m = self;
    struct weights *w = m->weights;
    size_t d = m->sizes.width, mlp = m->sizes.mlp, head = m->sizes.head_size;
    weights_prefix(w, "%s", "");
    weights_linear(w, &m->image_in, "x_embedder", d, m->channels, false);
    weights_linear(w, &m->context_in, "context_embedder", d, m->context_width, false);
    weights_linear(w, &m->image_modulation, "double_stream_modulation_img.linear", 6 * d,
                   d, false);
    weights_linear(w, &m->text_modulation, "double_stream_modulation_txt.linear", 6 * d,
                   d, false);
    weights_linear(w, &m->single_modulation, "single_stream_modulation.linear", 3 * d, d,
                   false);
    weights_linear(w, &m->norm_out, "norm_out.linear", 2 * d, d, false);
    weights_linear(w, &m->out, "proj_out", m->channels, d, false);
    weights_prefix(w, "time_guidance_embed.timestep_embedder.");
    weights_linear(w, &m->time_in, "linear_1", d, m->time_channels, false);
    weights_linear(w, &m->time_out, "linear_2", d, d, false);
    bind_double_blocks(m);
    for (size_t i = 0; i < m->n_single; i++) {
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
    weights_close(m->weights);
    free(m->double_blocks);
    free(m->single_blocks);
    free(m);
}

/* One vector through a layer. */
static void apply_vector(const struct flux2 *m,
                         const struct linear *linear,
                         const float *in,
                         float *out,
                         float *panel)
{
    struct linear_rows rows = {.rows = 1,
                               .in = in,
                               .in_stride = linear->inputs,
                               .out = out,
                               .out_stride = linear->outputs};
    linear_apply(m->sizes.kernels, linear, &rows, panel);
}

/* The time as cosines and sines of falling frequencies (diffusers embeddings.py,
 * get_timestep_embedding with flip_sin_to_cos), in float32 as there: at t = 1000 a
 * different rounding of the angle would show in the result. */
static void embed_time(const struct flux2 *m, float t, float *embedding)
{
    size_t half = m->time_channels / 2;
    for (size_t k = 0; k < half; k++) {
        float exponent = (float)-elementary_log(10000.0) * (float)k / (float)half;
        float angle = t * (float)TIME_SCALE * (float)elementary_exp((double)exponent);
        embedding[k] = (float)elementary_cos((double)angle);
        embedding[half + k] = (float)elementary_sin((double)angle);
    }
}

/* What the time becomes: the modulation vectors of every kind of block. */
static void modulate_by_time(const struct flux2 *m,
                             float t,
                             const struct item_state *state,
                             const struct flux2_work *work)
{
    /* The work buffers are free before the blocks start. */
    float *embedding = work->wide, *hidden = work->joined, *time = work->normed;
    embed_time(m, t, embedding);
    apply_vector(m, &m->time_in, embedding, hidden, work->panel);
    m->sizes.kernels->each->silu(hidden, m->sizes.width);
    apply_vector(m, &m->time_out, hidden, time, work->panel);
    m->sizes.kernels->each->silu(time, m->sizes.width);
    apply_vector(m, &m->image_modulation, time, state->image_modulation, work->panel);
    apply_vector(m, &m->text_modulation, time, state->text_modulation, work->panel);
    apply_vector(m, &m->single_modulation, time, state->single_modulation, work->panel);
    apply_vector(m, &m->norm_out, time, state->out_modulation, work->panel);
}

static void set_angles(const struct flux2 *m,
                       size_t token,
                       const size_t position[AXES],
                       const struct item_state *state)
{
    size_t at = token * (m->sizes.head_size / 2);
    for (size_t a = 0; a < AXES; a++) {
        rotary_angles((double)position[a], m->theta, m->axes[a], state->cosine + at,
                      state->sine + at);
        at += m->axes[a] / 2;
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
        set_angles(m, i, (size_t[AXES]){0, 0, 0, i}, state);
    for (size_t h = 0; h < in->height; h++) {
        for (size_t w = 0; w < in->width; w++)
            set_angles(m, text + h * in->width + w, (size_t[AXES]){0, h, w, 0}, state);
    }
}

static void lay_out_item(const struct flux2 *m,
                         size_t text,
                         size_t image,
                         struct arena *arena,
                         struct item_state *state)
{
    size_t d = m->sizes.width, tokens = size_add(text, image),
           half = m->sizes.head_size / 2;
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
                       const struct velocity_item *in,
                       const struct item_state *state,
                       const struct flux2_work *work)
{
    size_t d = m->sizes.width, text = in->condition->tokens;
    modulate_by_time(m, in->t, state, work);
    set_positions(m, in, state);
    struct linear_rows context = {.rows = text,
                                  .in = in->condition->context,
                                  .in_stride = m->context_width,
                                  .out = state->item.x,
                                  .out_stride = d};
    linear_apply(m->sizes.kernels, &m->context_in, &context, work->panel);
    struct linear_rows image = {.rows = in->height * in->width,
                                .in = in->x,
                                .in_stride = m->channels,
                                .out = state->item.x + text * d,
                                .out_stride = d};
    linear_apply(m->sizes.kernels, &m->image_in, &image, work->panel);
}

/* Everything behind the last block. The final norm has scale first, then shift: the only
 * place in this model (AdaLayerNormContinuous). */
static void finish_item(const struct flux2 *m,
                        const struct velocity_item *out,
                        const struct item_state *state,
                        const struct flux2_work *work)
{
    size_t d = m->sizes.width, image = out->height * out->width;
    struct norm_modulated norm = {
        .rows = image,
        .n = d,
        .in = state->item.x + state->item.text_tokens * d,
        .scale = state->out_modulation,
        .shift = state->out_modulation + d,
        .out = work->normed,
        .epsilon = m->sizes.epsilon,
    };
    m->sizes.kernels->each->norm_modulated(&norm);
    struct linear_rows rows = {.rows = image,
                               .in = work->normed,
                               .in_stride = d,
                               .out = out->v,
                               .out_stride = m->channels};
    linear_apply(m->sizes.kernels, &m->out, &rows, work->panel);
}

/* Blocks outside, items inside: a block's weights are read from memory once a batch. */
static enum err_code run_blocks(const struct flux2 *m,
                                const struct run *run,
                                const struct item_state *states,
                                size_t n,
                                const struct flux2_work *work,
                                struct err *err)
{
    for (size_t b = 0; b < m->n_double + m->n_single; b++) {
        enum err_code code = run_check(run, err);
        if (code != ERR_OK)
            return code;
        for (size_t i = 0; i < n; i++) {
            if (b < m->n_double)
                flux2_double_block_apply(&m->sizes, &m->double_blocks[b], &states[i].item,
                                         work);
            else
                flux2_single_block_apply(&m->sizes, &m->single_blocks[b - m->n_double],
                                         &states[i].item, work);
        }
    }
    return ERR_OK;
}

static void lay_out_work(const struct flux2 *m,
                         size_t tokens,
                         struct arena *arena,
                         struct flux2_work *work)
{
    /* The time's embedding and the context's panel use the same buffers. */
    size_t d = m->sizes.width;
    flux2_work_lay_out(&m->sizes, size_max(tokens, m->time_channels / d + 1), arena,
                       work);
    size_t inputs =
        size_max(m->context_width, size_max(m->time_channels, d + m->sizes.mlp));
    work->panel = arena_take_floats(arena, linear_panel(inputs));
}

static enum err_code eval(const void *self,
                          const struct run *run,
                          const struct velocity_item *items,
                          size_t n,
                          struct err *err)
{
    const struct flux2 *m = self;
    size_t mark = arena_mark(run->scratch), most = 0;
    struct item_state *states = arena_take(run->scratch, n, sizeof(*states));
    enum err_code code = arena_check(run->scratch, "a batch", err);
    for (size_t i = 0; code == ERR_OK && i < n; i++) {
        size_t text = items[i].condition->tokens,
               image = items[i].height * items[i].width;
        if (items[i].condition->width != m->context_width)
            code = err_set(err, ERR_INVALID, "a context %zu wide, expected %zu",
                           items[i].condition->width, m->context_width);
        else
            lay_out_item(m, text, image, run->scratch, &states[i]);
        most = size_max(most, text + image);
    }
    struct flux2_work work;
    if (code == ERR_OK) {
        lay_out_work(m, most, run->scratch, &work);
        code = arena_check(run->scratch, "a batch", err);
    }
    if (code == ERR_OK) {
        for (size_t i = 0; i < n; i++)
            start_item(m, &items[i], &states[i], &work);
        code = run_blocks(m, run, states, n, &work, err);
    }
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        finish_item(m, &items[i], &states[i], &work);
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
    size_t shared = arena.used;

    /* Items share total_tokens between them: one holds all of it, and each of the others
     * adds what an item without image has, rounded up to cache lines. */
    arena_init_measuring(&arena);
    lay_out_item(m, load->text_tokens, load->total_tokens, &arena, &state);
    size_t largest = arena.used;
    arena_init_measuring(&arena);
    lay_out_item(m, load->text_tokens, 1, &arena, &state);
    return size_add(shared, size_add(largest, size_multiply(load->items, arena.used)));
}

static enum err_code open_parts(struct flux2 *m, const char *folder, struct err *err)
{
    struct config config;
    enum err_code code = config_open(&config, folder, "config.json", err);
    if (code != ERR_OK)
        return code;
    read_config(m, &config);
    code = config_check(&config, err);
    config_close(&config);
    if (code != ERR_OK)
        return code;

    m->double_blocks = calloc(m->n_double + 1, sizeof(*m->double_blocks));
    m->single_blocks = calloc(m->n_single + 1, sizeof(*m->single_blocks));
    if (m->double_blocks == NULL || m->single_blocks == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", folder);
    code = weights_open(&m->weights, folder, "diffusion_pytorch_model", m->sizes.kernels,
                        err);
    if (code != ERR_OK)
        return code;
    bind(m);
    return weights_check(m->weights, err);
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
    m->sizes.kernels = kernels;
    enum err_code code = open_parts(m, folder, err);
    if (code != ERR_OK) {
        destroy(m);
        return code;
    }
    *component = (struct component){m, m->weights, bind, destroy};
    *velocity = (struct velocity){
        .self = m,
        .channels = m->channels,
        .context_width = m->context_width,
        .eval = eval,
        .scratch = scratch,
    };
    return ERR_OK;
}
