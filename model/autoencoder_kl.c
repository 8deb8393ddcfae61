#include "model/autoencoder_kl.h"

#include "base/size.h"
#include "model/autoencoder_steps.h"
#include "model/config.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LEVELS = 8,
    MAX_LAYERS = 8,
    MAX_STEPS = 3 + MAX_LEVELS * (MAX_LAYERS + 2),
    PATCH = 2, /* a latent token is PATCH x PATCH positions of the latent picture */
    COLOURS = 3
};

struct autoencoder_kl {
    size_t latent_channels, groups, layers, n_levels;
    size_t channels[MAX_LEVELS]; /* of the decoder, finest level first */
    bool has_post_quant, has_attention;
    float norm_epsilon; /* of the latents' batch norm */
    const struct kernels *kernels;
    const float *mean, *variance; /* [4 latent_channels] */
    struct linear post_quant;
    struct filter convolution_in, convolution_out;
    struct group_norm norm_out;
    struct autoencoder_step steps[MAX_STEPS];
    size_t n_steps;
};

static void read_config(struct autoencoder_kl *m, struct config *config)
{
    size_t patch[2] = {PATCH, PATCH}, encoder[MAX_LEVELS];
    config_expect_text(config, "_class_name", "AutoencoderKLFlux2");
    m->latent_channels = config_size(config, "latent_channels", 1, 1 << 10);
    m->groups = config_size(config, "norm_num_groups", 1, 1 << 10);
    m->layers = config_size(config, "layers_per_block", 1, MAX_LAYERS - 1) + 1;
    m->n_levels =
        config_sizes(config, "block_out_channels", 1, 1 << 12, encoder, MAX_LEVELS);
    size_t n = config_sizes(config, "decoder_block_out_channels", 1, 1 << 12, m->channels,
                            MAX_LEVELS);
    if (n == 0)
        n = config_sizes(config, "block_out_channels", 1, 1 << 12, m->channels,
                         MAX_LEVELS);
    if (n == 0 || n != m->n_levels)
        config_refuse(config,
                      "decoder_block_out_channels has %zu levels, block_out_channels %zu",
                      n, m->n_levels);
    m->has_post_quant = config_flag_or(config, "use_post_quant_conv", true);
    m->has_attention = config_flag_or(config, "mid_block_add_attention", true);
    m->norm_epsilon = (float)config_number_or(config, "batch_norm_eps", 0.0, 1.0, 1e-4);
    (void)config_size_or(config, "out_channels", COLOURS, COLOURS, COLOURS);
    (void)config_sizes(config, "patch_size", PATCH, PATCH, patch, 2);
    if (strcmp(config_text_or(config, "act_fn", "silu"), "silu") != 0)
        config_refuse(config, "act_fn: only silu is supported");
    config_expect_texts(config, "up_block_types", "UpDecoderBlock2D", n);
    for (size_t i = 0; i < n; i++) {
        if (m->channels[i] % m->groups != 0)
            config_refuse(config, "norm_num_groups (%zu) does not divide %zu channels",
                          m->groups, m->channels[i]);
    }
}

static void bind_norm(struct weights *w,
                      struct group_norm *norm,
                      const char *weight,
                      const char *bias,
                      size_t n)
{
    weights_vector(w, &norm->weight, weight, n);
    weights_vector(w, &norm->bias, bias, n);
}

/* The next step, of the given kind and channels. While checking the steps are made, while
 * loading they are filled in again. */
static struct autoencoder_step *
next_step(struct autoencoder_kl *m, enum step_kind kind, size_t in, size_t out)
{
    struct autoencoder_step *step = &m->steps[m->n_steps++];
    *step = (struct autoencoder_step){.kind = kind, .in = in, .out = out};
    return step;
}

static void
bind_resnet(struct autoencoder_kl *m, struct weights *w, size_t in, size_t out)
{
    struct autoencoder_step *step = next_step(m, STEP_RESNET, in, out);
    bind_norm(w, &step->norm1, "norm1.weight", "norm1.bias", in);
    weights_filter(w, &step->convolution1, "conv1", out, in);
    bind_norm(w, &step->norm2, "norm2.weight", "norm2.bias", out);
    weights_filter(w, &step->convolution2, "conv2", out, out);
    if (in != out)
        weights_convolution(w, &step->shortcut, "conv_shortcut", out, in);
}

static void bind_attention(struct autoencoder_kl *m, struct weights *w, size_t n)
{
    struct autoencoder_step *step = next_step(m, STEP_ATTENTION, n, n);
    bind_norm(w, &step->norm1, "group_norm.weight", "group_norm.bias", n);
    weights_linear(w, &step->q, "to_q", n, n, true);
    weights_linear(w, &step->k, "to_k", n, n, true);
    weights_linear(w, &step->v, "to_v", n, n, true);
    weights_linear(w, &step->to_out, "to_out.0", n, n, true);
}

static void bind_steps(struct autoencoder_kl *m, struct weights *w)
{
    size_t n = m->channels[m->n_levels - 1];
    m->n_steps = 0;
    weights_prefix(w, "decoder.mid_block.resnets.0.");
    bind_resnet(m, w, n, n);
    if (m->has_attention) {
        weights_prefix(w, "decoder.mid_block.attentions.0.");
        bind_attention(m, w, n);
    }
    weights_prefix(w, "decoder.mid_block.resnets.1.");
    bind_resnet(m, w, n, n);
    for (size_t level = 0; level < m->n_levels; level++) {
        size_t out = m->channels[m->n_levels - 1 - level];
        for (size_t i = 0; i < m->layers; i++) {
            weights_prefix(w, "decoder.up_blocks.%zu.resnets.%zu.", level, i);
            bind_resnet(m, w, i == 0 ? n : out, out);
        }
        n = out;
        if (level + 1 == m->n_levels)
            break;
        struct autoencoder_step *step = next_step(m, STEP_UPSAMPLE, out, out);
        weights_prefix(w, "decoder.up_blocks.%zu.upsamplers.0.", level);
        step->convolution1.doubled = true;
        weights_filter(w, &step->convolution1, "conv", out, out);
    }
}

/* The latents' batch norm, which is undone with the root of variance + epsilon. */
static void bind_statistics(struct autoencoder_kl *m, struct weights *w)
{
    size_t n = PATCH * PATCH * m->latent_channels;
    weights_vector(w, &m->mean, "bn.running_mean", n);
    weights_vector(w, &m->variance, "bn.running_var", n);
    for (size_t i = 0; m->variance != NULL && i < n; i++) {
        if (!(m->variance[i] + m->norm_epsilon > 0.0f))
            weights_refuse(w,
                           "tensor bn.running_var: value %zu is %g, expected one whose "
                           "sum with batch_norm_eps (%g) is above 0",
                           i, (double)m->variance[i], (double)m->norm_epsilon);
    }
}

static void bind(void *self, struct weights *w)
{
    struct autoencoder_kl *m = self;
    size_t latent = m->latent_channels, last = m->channels[m->n_levels - 1];
    weights_prefix(w, "%s", "");
    bind_statistics(m, w);
    if (m->has_post_quant)
        weights_convolution(w, &m->post_quant, "post_quant_conv", latent, latent);
    weights_prefix(w, "decoder.");
    weights_filter(w, &m->convolution_in, "conv_in", last, latent);
    bind_norm(w, &m->norm_out, "conv_norm_out.weight", "conv_norm_out.bias",
              m->channels[0]);
    weights_filter(w, &m->convolution_out, "conv_out", COLOURS, m->channels[0]);
    bind_steps(m, w);
}

static void destroy(void *self)
{
    struct autoencoder_kl *m = self;
    free(m);
}

/* Undoes the batch norm and the patches: channel 4c + 2py + px of token (y, x) is channel
 * c at (2y + py, 2x + px). */
static void
unpack(const struct autoencoder_kl *m, const struct latent *latent, float *out)
{
    size_t channels = m->latent_channels, width = PATCH * latent->width;
    for (size_t k = 0; k < PATCH * PATCH * channels; k++) {
        size_t c = k / (PATCH * PATCH), py = k / PATCH % PATCH, px = k % PATCH;
        float deviation = sqrtf(m->variance[k] + m->norm_epsilon);
        for (size_t t = 0; t < latent->height * latent->width; t++) {
            size_t y = PATCH * (t / latent->width) + py,
                   x = PATCH * (t % latent->width) + px;
            out[(y * width + x) * channels + c] =
                latent->values[t * PATCH * PATCH * channels + k] * deviation + m->mean[k];
        }
    }
}

static enum err_code run_steps(const struct autoencoder_kl *m,
                               const struct run *run,
                               struct autoencoder_maps *maps,
                               float *pixels,
                               struct err *err)
{
    if (m->has_post_quant)
        autoencoder_mix(&m->post_quant, maps);
    autoencoder_convolve(&m->convolution_in, maps, maps->next);
    autoencoder_maps_turn(maps);
    for (size_t i = 0; i < m->n_steps; i++) {
        enum err_code code = run_check(run, err);
        if (code != ERR_OK)
            return code;
        autoencoder_step_apply(&m->steps[i], maps);
    }
    autoencoder_normalise(&m->norm_out, m->channels[0], maps);
    autoencoder_convolve(&m->convolution_out, maps, pixels);
    return ERR_OK;
}

static void lay_out(const struct autoencoder_kl *m,
                    size_t latent_tokens,
                    struct arena *arena,
                    struct autoencoder_maps *maps)
{
    size_t channels = size_max(m->latent_channels, m->channels[m->n_levels - 1]);
    channels = size_max(channels, COLOURS); /* of conv_out, which is no step */
    maps->groups = m->groups;
    autoencoder_maps_lay_out(m->steps, m->n_steps,
                             size_multiply(latent_tokens, PATCH * PATCH), channels, arena,
                             maps);
}

static enum err_code decode(const void *self,
                            const struct run *run,
                            const struct latent *latent,
                            float *pixels,
                            struct err *err)
{
    const struct autoencoder_kl *m = self;
    const struct compute compute = {m->kernels, run};
    struct autoencoder_maps maps = {.compute = &compute,
                                    .height = PATCH * latent->height,
                                    .width = PATCH * latent->width};
    size_t mark = arena_mark(run->scratch);
    lay_out(m, latent->height * latent->width, run->scratch, &maps);
    enum err_code code = compute_check_scratch(&maps.unit, run->scratch, "a decode", err);
    if (code == ERR_OK) {
        unpack(m, latent, maps.current);
        code = run_steps(m, run, &maps, pixels, err);
    }
    arena_rewind(run->scratch, mark);
    return code;
}

static size_t scratch(const void *self, size_t latent_tokens)
{
    struct arena arena;
    struct autoencoder_maps maps;
    arena_init_measuring(&arena);
    lay_out(self, latent_tokens, &arena, &maps);
    return size_add(arena.used, compute_scratch(&maps.unit));
}

static enum err_code
configure(struct autoencoder_kl *m, const char *folder, struct err *err)
{
    struct config config;
    enum err_code code = config_open(&config, folder, "config.json", err);
    if (code != ERR_OK)
        return code;
    read_config(m, &config);
    code = config_check(&config, err);
    config_close(&config);
    return code;
}

enum err_code autoencoder_kl_open(struct component *component,
                                  struct autoencoder *autoencoder,
                                  const char *folder,
                                  const struct kernels *kernels,
                                  struct err *err)
{
    struct autoencoder_kl *m = calloc(1, sizeof(*m));
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
    assert(m->n_levels > 0); /* config_check saw to it */
    *autoencoder = (struct autoencoder){
        .self = m,
        .channels = PATCH * PATCH * m->latent_channels,
        .patch = (size_t)PATCH << (m->n_levels - 1),
        .decode = decode,
        .scratch = scratch,
    };
    return ERR_OK;
}
