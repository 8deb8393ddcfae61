#include "model/qwen3.h"

#include "base/size.h"
#include "model/compute.h"
#include "model/config.h"
#include "model/weights.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LAYERS = 256 };

struct layer {
    const float *input_norm, *post_attention_norm, *q_norm, *k_norm;
    struct linear q, k, v, o, gate, up, down;
};

struct qwen3 {
    size_t vocabulary, width, mlp, n_layers, heads, key_heads, head_size;
    float epsilon;
    double theta;
    struct qwen3_taps taps;
    const struct kernels *kernels;
    struct linear embedding;
    struct layer *layers; /* as many as the last tap needs */
    const float *norm;    /* behind all layers; bound when there is a tap */
};

/* The buffers of one encode; [n, ...] for n tokens. */
struct buffers {
    size_t n, used;         /* tokens, and those that are no padding */
    float *hidden, *normed; /* [n, width] */
    float *q, *attended;    /* [n, heads, head_size] */
    float *k, *v;           /* [n, key_heads, head_size] */
    float *gate, *up;       /* [n, mlp] */
    float *cosine, *sine;   /* [n, head_size / 2] */
    const struct compute *compute;
};

static void
lay_out(const struct qwen3 *m, struct arena *arena, size_t n, struct buffers *b)
{
    b->n = n;
    size_t queries = m->heads * m->head_size, keys = m->key_heads * m->head_size;
    b->hidden = arena_take_floats(arena, size_multiply(n, m->width));
    b->normed = arena_take_floats(arena, size_multiply(n, m->width));
    b->q = arena_take_floats(arena, size_multiply(n, queries));
    b->attended = arena_take_floats(arena, size_multiply(n, queries));
    b->k = arena_take_floats(arena, size_multiply(n, keys));
    b->v = arena_take_floats(arena, size_multiply(n, keys));
    b->gate = arena_take_floats(arena, size_multiply(n, m->mlp));
    b->up = arena_take_floats(arena, size_multiply(n, m->mlp));
    b->cosine = arena_take_floats(arena, size_multiply(n, m->head_size / 2));
    b->sine = arena_take_floats(arena, size_multiply(n, m->head_size / 2));
}

/* The angles of positions. transformers 4 has rope_theta and rope_scaling, transformers 5
 * both in rope_parameters; the type was once called "type"; 1e4 is its default_theta. */
static void read_rotation(struct qwen3 *m, struct config *config)
{
    static const char parameters[] = "rope_parameters", plain[] = "default";
    m->theta = config_number_or(config, "rope_theta", 1.0, 1e12, 1e4);
    m->theta =
        config_nested_number_or(config, parameters, "rope_theta", 1.0, 1e12, m->theta);
    const char *type = config_nested_text_or(config, parameters, "type", plain);
    type = config_nested_text_or(config, parameters, "rope_type", type);
    if (strcmp(type, plain) != 0)
        config_refuse(config, "%s: rope_type is \"%.40s\", only \"%s\" is supported",
                      parameters, type, plain);
    config_expect_null(config, "rope_scaling");
}

static void read_config(struct qwen3 *m, struct config *config)
{
    m->vocabulary = config_size(config, "vocab_size", 1, 1 << 24);
    m->width = config_size(config, "hidden_size", 1, 1 << 16);
    m->mlp = config_size(config, "intermediate_size", 1, 1 << 18);
    m->n_layers = config_size(config, "num_hidden_layers", 1, MAX_LAYERS);
    m->heads = config_size(config, "num_attention_heads", 1, 1 << 10);
    m->key_heads = config_size_or(config, "num_key_value_heads", 1, 1 << 10, m->heads);
    m->head_size = config_size_or(config, "head_dim", 2, 1 << 12, 128);
    m->epsilon = (float)config_number_or(config, "rms_norm_eps", 1e-12, 1.0, 1e-6);
    read_rotation(m, config);

    config_expect_text(config, "model_type", "qwen3");
    if (strcmp(config_text_or(config, "hidden_act", "silu"), "silu") != 0)
        config_refuse(config, "hidden_act: only silu is supported");
    config_expect_false(config, "attention_bias");
    config_expect_false(config, "use_sliding_window");
    config_expect_null(config,
                       "transformers_weights"); /* names another file of weights */
    if (m->heads % m->key_heads != 0)
        config_refuse(config,
                      "num_key_value_heads (%zu) does not divide "
                      "num_attention_heads (%zu)",
                      m->key_heads, m->heads);
    if (m->head_size % 2 != 0)
        config_refuse(config, "head_dim: %zu is odd", m->head_size);
}

/* Fills in the default taps and checks that they rise and lie inside the model. */
static void settle_taps(struct qwen3 *m, struct config *config)
{
    struct qwen3_taps *taps = &m->taps;
    if (taps->n == 0) {
        if (m->n_layers % 4 != 0)
            config_refuse(config,
                          "num_hidden_layers is %zu: the default text taps are "
                          "L/4, L/2 and 3L/4 of a multiple of 4; name others as "
                          "text_taps in sluice.json",
                          m->n_layers);
        taps->n = 3;
        for (size_t i = 0; i < taps->n; i++)
            taps->layers[i] = (i + 1) * m->n_layers / 4;
    }
    for (size_t i = 0; i < taps->n; i++) {
        if (taps->layers[i] < 1 || taps->layers[i] > m->n_layers ||
            (i > 0 && taps->layers[i] <= taps->layers[i - 1]))
            config_refuse(config,
                          "text tap %zu: expected rising numbers from 1 to the %zu "
                          "layers there are",
                          taps->layers[i], m->n_layers);
    }
}

static void bind(void *self, struct weights *w)
{
    struct qwen3 *m = self;
    size_t queries = m->heads * m->head_size, keys = m->key_heads * m->head_size;
    size_t last = m->taps.layers[m->taps.n - 1];
    weights_prefix(w, "model.");
    weights_table(w, &m->embedding, "embed_tokens", m->vocabulary, m->width);
    if (last == m->n_layers)
        weights_vector(w, &m->norm, "norm.weight", m->width);
    for (size_t i = 0; i < last; i++) {
        struct layer *l = &m->layers[i];
        weights_prefix(w, "model.layers.%zu.", i);
        weights_vector(w, &l->input_norm, "input_layernorm.weight", m->width);
        weights_vector(w, &l->post_attention_norm, "post_attention_layernorm.weight",
                       m->width);
        weights_vector(w, &l->q_norm, "self_attn.q_norm.weight", m->head_size);
        weights_vector(w, &l->k_norm, "self_attn.k_norm.weight", m->head_size);
        weights_linear(w, &l->q, "self_attn.q_proj", queries, m->width, false);
        weights_linear(w, &l->k, "self_attn.k_proj", keys, m->width, false);
        weights_linear(w, &l->v, "self_attn.v_proj", keys, m->width, false);
        weights_linear(w, &l->o, "self_attn.o_proj", m->width, queries, false);
        weights_linear(w, &l->gate, "mlp.gate_proj", m->mlp, m->width, false);
        weights_linear(w, &l->up, "mlp.up_proj", m->mlp, m->width, false);
        weights_linear(w, &l->down, "mlp.down_proj", m->width, m->mlp, false);
    }
}

static void destroy(void *self)
{
    struct qwen3 *m = self;
    free(m->layers);
    free(m);
}

/* n layers of the same input, beside each other. */
struct application {
    const struct linear *linear;
    float *out;
};

enum { MOST_APPLIED = 3 };

static void
apply(const struct application *applications, size_t n, const struct buffers *b)
{
    struct linear_rows rows[MOST_APPLIED];
    struct compute_layer layers[MOST_APPLIED];
    for (size_t i = 0; i < n; i++) {
        const struct linear *linear = applications[i].linear;
        rows[i] = (struct linear_rows){
            .rows = b->n,
            .in = b->normed,
            .in_stride = linear->inputs,
            .out = applications[i].out,
            .out_stride = linear->outputs,
        };
        layers[i] = (struct compute_layer){linear, &rows[i], 1};
    }
    compute_layers(b->compute, layers, n);
}

/* The layer's result is added to the residual stream. */
static void add_to_hidden(const struct qwen3 *m,
                          const struct linear *linear,
                          const float *in,
                          const struct buffers *b)
{
    struct linear_rows rows = {
        .rows = b->n,
        .in = in,
        .in_stride = linear->inputs,
        .out = b->hidden,
        .out_stride = m->width,
        .add = true,
    };
    compute_linear(b->compute, linear, &rows);
}

/* What attention needs to know of a layer to prepare its heads. */
struct heads {
    const struct qwen3 *m;
    const struct layer *layer;
    const struct buffers *b;
};

/* RMSNorm of each of `n` heads from `first` on, then rotation. x has `heads` of them. */
static void prepare_heads(const struct heads *context,
                          const float *weight,
                          size_t heads,
                          size_t first,
                          size_t n,
                          float *x)
{
    const struct qwen3 *m = context->m;
    const struct buffers *b = context->b;
    size_t stride = heads * m->head_size;
    for (size_t head = first; head < first + n; head++) {
        struct norm_rms norm = {
            .rows = b->n,
            .n = m->head_size,
            .in_stride = stride,
            .out_stride = stride,
            .in = x + head * m->head_size,
            .weight = weight,
            .out = x + head * m->head_size,
            .epsilon = m->epsilon,
        };
        m->kernels->each->norm_rms(&norm);
    }
    struct rotary rotary = {
        .pairs = ROTARY_HALVES,
        .tokens = b->n,
        .heads = n,
        .head_size = m->head_size,
        .stride = stride,
        .cosine = b->cosine,
        .sine = b->sine,
        .x = x + first * m->head_size,
    };
    m->kernels->each->rotary(&rotary);
}

/* A key head and the query heads that read it are prepared by whoever attends to it. */
static void prepare(const void *context, size_t i, size_t key_head)
{
    const struct heads *heads = context;
    const struct qwen3 *m = heads->m;
    size_t share = m->heads / m->key_heads;
    (void)i;
    prepare_heads(heads, heads->layer->q_norm, m->heads, key_head * share, share,
                  heads->b->q);
    prepare_heads(heads, heads->layer->k_norm, m->key_heads, key_head, 1, heads->b->k);
}

static void normalise(const struct qwen3 *m, const float *weight, const struct buffers *b)
{
    struct norm_rms norm = {
        .rows = b->n,
        .n = m->width,
        .in_stride = m->width,
        .out_stride = m->width,
        .in = b->hidden,
        .weight = weight,
        .out = b->normed,
        .epsilon = m->epsilon,
    };
    m->kernels->each->norm_rms(&norm);
}

static void attend(const struct qwen3 *m, const struct layer *l, const struct buffers *b)
{
    const struct application applications[] = {
        {&l->q, b->q}, {&l->k, b->k}, {&l->v, b->v}};
    apply(applications, 3, b);
    struct attention attention = {
        .queries = b->n,
        .keys = b->n,
        .heads = m->heads,
        .key_heads = m->key_heads,
        .head_size = m->head_size,
        .q = b->q,
        .k = b->k,
        .v = b->v,
        .q_stride = m->heads * m->head_size,
        .k_stride = m->key_heads * m->head_size,
        .v_stride = m->key_heads * m->head_size,
        .out = b->attended,
        .out_stride = m->heads * m->head_size,
        .causal = true,
        .valid_keys = b->used,
    };
    const struct heads heads = {m, l, b};
    struct compute_attention work = {&attention, 1, prepare, &heads};
    compute_attention(b->compute, &work);
    add_to_hidden(m, &l->o, b->attended, b);
}

static void
apply_layer(const struct qwen3 *m, const struct layer *l, const struct buffers *b)
{
    normalise(m, l->input_norm, b);
    attend(m, l, b);

    normalise(m, l->post_attention_norm, b);
    const struct application applications[] = {{&l->gate, b->gate}, {&l->up, b->up}};
    apply(applications, 2, b);
    m->kernels->each->gated(b->gate, b->up, b->n * m->mlp);
    add_to_hidden(m, &l->down, b->gate, b);
}

/* Token t's embedding and its rotation angles. */
static void
start_token(const struct qwen3 *m, size_t t, uint32_t id, const struct buffers *b)
{
    const unsigned char *row = m->embedding.data;
    size_t half = m->head_size / 2;
    row += id * m->width * linear_element_size(m->embedding.dtype);
    linear_widen(m->embedding.dtype, row, m->width, b->hidden + t * m->width);
    rotary_angles((double)t, m->theta, m->head_size, b->cosine + t * half,
                  b->sine + t * half);
}

/* What transformers calls hidden_states[layer]: the residual stream, and behind the last
 * layer its norm. */
static void
copy_tap(const struct qwen3 *m, const struct buffers *b, size_t tap, float *context)
{
    const bool is_last = m->taps.layers[tap] == m->n_layers;
    const float *state = is_last ? b->normed : b->hidden;
    if (is_last)
        normalise(m, m->norm, b);
    for (size_t t = 0; t < b->n; t++)
        memcpy(context + (t * m->taps.n + tap) * m->width, state + t * m->width,
               m->width * sizeof(float));
}

static enum err_code run_layers(const struct qwen3 *m,
                                const struct run *run,
                                const struct buffers *b,
                                float *context,
                                struct err *err)
{
    for (size_t tap = 0, i = 0; tap < m->taps.n; i++) {
        enum err_code code = run_check(run, err);
        if (code != ERR_OK)
            return code;
        apply_layer(m, &m->layers[i], b);
        if (i + 1 == m->taps.layers[tap])
            copy_tap(m, b, tap++, context);
    }
    return ERR_OK;
}

static struct compute_sizes unit_sizes(const struct qwen3 *m, size_t n)
{
    return (struct compute_sizes){.keys = n, .head_size = m->head_size};
}

static enum err_code encode(const void *self,
                            const struct run *run,
                            const struct text_tokens *tokens,
                            float *context,
                            struct err *err)
{
    const struct qwen3 *m = self;
    const struct compute compute = {m->kernels, run};
    struct buffers b = {.used = tokens->used, .compute = &compute};
    size_t mark = arena_mark(run->scratch);
    lay_out(m, run->scratch, tokens->n, &b);
    struct compute_sizes unit = unit_sizes(m, tokens->n);
    enum err_code code = compute_check_scratch(&unit, run->scratch, "a prompt", err);
    for (size_t t = 0; code == ERR_OK && t < tokens->n; t++) {
        if (tokens->ids[t] >= m->vocabulary)
            code = err_set(err, ERR_INVALID, "token id %u, the vocabulary has %zu",
                           tokens->ids[t], m->vocabulary);
        else
            start_token(m, t, tokens->ids[t], &b);
    }
    if (code == ERR_OK)
        code = run_layers(m, run, &b, context, err);
    arena_rewind(run->scratch, mark);
    return code;
}

static size_t scratch(const void *self, size_t n)
{
    const struct qwen3 *m = self;
    struct compute_sizes unit = unit_sizes(m, n);
    struct arena arena;
    struct buffers b;
    arena_init_measuring(&arena);
    lay_out(m, &arena, n, &b);
    return size_add(arena.used, compute_scratch(&unit));
}

static enum err_code configure(struct qwen3 *m, const char *folder, struct err *err)
{
    struct config config;
    enum err_code code = config_open(&config, folder, "config.json", err);
    if (code != ERR_OK)
        return code;
    read_config(m, &config);
    settle_taps(m, &config);
    code = config_check(&config, err);
    config_close(&config);
    if (code != ERR_OK)
        return code;

    m->layers = calloc(m->n_layers, sizeof(*m->layers));
    if (m->layers == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", folder);
    return ERR_OK;
}

enum err_code qwen3_open(struct component *component,
                         struct text_encoder *encoder,
                         const char *folder,
                         const struct kernels *kernels,
                         const struct qwen3_taps *taps,
                         struct err *err)
{
    struct qwen3 *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", folder);
    m->kernels = kernels;
    m->taps = *taps;
    enum err_code code = configure(m, folder, err);
    if (code != ERR_OK) {
        destroy(m);
        return code;
    }
    *component = (struct component){.self = m, .bind = bind, .destroy = destroy};
    code = component_open(component, folder, "model", kernels, err);
    if (code != ERR_OK)
        return code;
    *encoder = (struct text_encoder){
        .self = m,
        .width = m->taps.n * m->width,
        .vocabulary = m->vocabulary,
        .encode = encode,
        .scratch = scratch,
    };
    return ERR_OK;
}
