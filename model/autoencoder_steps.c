#include "model/autoencoder_steps.h"

#include "base/size.h"
#include "model/kernels/activation.h"
#include "model/kernels/attention.h"
#include "model/kernels/convolution.h"
#include "model/kernels/norm.h"

/* The epsilon of every GroupNorm of the decoder; no config file names it (vae.py,
 * Decoder: resnet_eps and conv_norm_out). */
static const float EPSILON = 1e-6f;

void autoencoder_maps_lay_out(const struct autoencoder_step *steps,
                              size_t n,
                              size_t pixels,
                              size_t channels,
                              struct arena *arena,
                              struct autoencoder_maps *maps)
{
    size_t largest = size_multiply(pixels, channels), widest = channels, scores = 0;
    for (size_t i = 0; i < n; i++) {
        const struct autoencoder_step *step = &steps[i];
        size_t parts = 1, most = size_max(step->in, step->out);
        if (step->kind == STEP_UPSAMPLE)
            pixels = size_multiply(pixels, 4);
        if (step->kind == STEP_ATTENTION) {
            parts = 3; /* q, k and v side by side */
            scores = size_max(scores, attention_scratch(pixels));
        }
        largest = size_max(largest, size_multiply(pixels, most * parts));
        widest = size_max(widest, most);
    }
    size_t scratch = size_max(convolution_scratch(widest), linear_panel(widest));
    maps->current = arena_take_floats(arena, largest);
    maps->next = arena_take_floats(arena, largest);
    maps->spare = arena_take_floats(arena, largest);
    maps->scratch = arena_take_floats(arena, size_max(scores, scratch));
}

void autoencoder_maps_turn(struct autoencoder_maps *maps)
{
    float *old = maps->current;
    maps->current = maps->next;
    maps->next = old;
}

static void convolve(const struct weights_kernel *kernel,
                     struct convolution shape, /* channels and doubling, in and out */
                     const struct autoencoder_maps *maps)
{
    shape.height = maps->height;
    shape.width = maps->width;
    shape.weight = kernel->weight;
    shape.bias = kernel->bias;
    convolution_apply(&shape, maps->scratch);
}

void autoencoder_convolve(const struct weights_kernel *kernel,
                          size_t in_channels,
                          size_t out_channels,
                          const struct autoencoder_maps *maps,
                          float *out)
{
    struct convolution shape = {.in_channels = in_channels,
                                .out_channels = out_channels,
                                .in = maps->current,
                                .out = out};
    convolve(kernel, shape, maps);
}

/* The same layer at every pixel: a linear layer, or a 1x1 convolution seen as one. */
static void mix(const struct linear *layer,
                const float *in,
                float *out,
                size_t out_stride,
                const struct autoencoder_maps *maps)
{
    struct linear_rows rows = {maps->height * maps->width, in, layer->inputs, out,
                               out_stride};
    linear_apply(layer, &rows, maps->scratch);
}

static struct linear as_linear(const struct weights_kernel *kernel, size_t in, size_t out)
{
    return (struct linear){in, out, DTYPE_F32, kernel->weight, kernel->bias};
}

void autoencoder_mix(const struct weights_kernel *kernel,
                     size_t channels,
                     struct autoencoder_maps *maps)
{
    struct linear layer = as_linear(kernel, channels, channels);
    mix(&layer, maps->current, maps->next, channels, maps);
    autoencoder_maps_turn(maps);
}

static void normalise(const struct group_norm *weights,
                      size_t channels,
                      const float *in,
                      float *out,
                      const struct autoencoder_maps *maps)
{
    struct norm_group norm = {
        .pixels = maps->height * maps->width,
        .channels = channels,
        .groups = maps->groups,
        .in = in,
        .weight = weights->weight,
        .bias = weights->bias,
        .out = out,
        .epsilon = EPSILON,
    };
    norm_group(&norm);
}

void autoencoder_normalise(const struct group_norm *norm,
                           size_t channels,
                           struct autoencoder_maps *maps)
{
    normalise(norm, channels, maps->current, maps->current, maps);
    activation_silu(maps->current, maps->height * maps->width * channels);
}

static void apply_resnet(const struct autoencoder_step *step,
                         struct autoencoder_maps *maps)
{
    size_t pixels = maps->height * maps->width;
    struct convolution first = {.in_channels = step->in,
                                .out_channels = step->out,
                                .in = maps->next,
                                .out = maps->spare};
    struct convolution second = {.in_channels = step->out,
                                 .out_channels = step->out,
                                 .in = maps->spare,
                                 .out = maps->next};
    normalise(&step->norm1, step->in, maps->current, maps->next, maps);
    activation_silu(maps->next, pixels * step->in);
    convolve(&step->convolution1, first, maps);
    normalise(&step->norm2, step->out, maps->spare, maps->spare, maps);
    activation_silu(maps->spare, pixels * step->out);
    convolve(&step->convolution2, second, maps);

    if (step->in != step->out) {
        struct linear shortcut = as_linear(&step->shortcut, step->in, step->out);
        mix(&shortcut, maps->current, maps->spare, step->out, maps);
        float *old = maps->current;
        maps->current = maps->spare;
        maps->spare = old;
    }
    activation_add(maps->current, maps->next, pixels * step->out);
}

static void apply_attention(const struct autoencoder_step *step,
                            struct autoencoder_maps *maps)
{
    size_t pixels = maps->height * maps->width, n = step->in;
    float *q = maps->spare, *k = q + n, *v = k + n;
    normalise(&step->norm1, n, maps->current, maps->next, maps);
    mix(&step->q, maps->next, q, 3 * n, maps);
    mix(&step->k, maps->next, k, 3 * n, maps);
    mix(&step->v, maps->next, v, 3 * n, maps);
    struct attention attention = {
        .queries = pixels,
        .keys = pixels,
        .heads = 1,
        .key_heads = 1,
        .head_size = n,
        .q = q,
        .k = k,
        .v = v,
        .q_stride = 3 * n,
        .k_stride = 3 * n,
        .v_stride = 3 * n,
        .out = maps->next,
        .out_stride = n,
    };
    attention_apply(&attention, maps->scratch);
    mix(&step->to_out, maps->next, maps->spare, n, maps);
    activation_add(maps->current, maps->spare, pixels * n);
}

static void apply_upsample(const struct autoencoder_step *step,
                           struct autoencoder_maps *maps)
{
    maps->height *= 2;
    maps->width *= 2;
    struct convolution shape = {.in_channels = step->in,
                                .out_channels = step->out,
                                .doubled = true,
                                .in = maps->current,
                                .out = maps->next};
    convolve(&step->convolution1, shape, maps);
    autoencoder_maps_turn(maps);
}

void autoencoder_step_apply(const struct autoencoder_step *step,
                            struct autoencoder_maps *maps)
{
    static void (*const apply[])(const struct autoencoder_step *,
                                 struct autoencoder_maps *) = {
        [STEP_RESNET] = apply_resnet,
        [STEP_ATTENTION] = apply_attention,
        [STEP_UPSAMPLE] = apply_upsample,
    };
    apply[step->kind](step, maps);
}
