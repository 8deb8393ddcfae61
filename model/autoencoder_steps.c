#include "model/autoencoder_steps.h"

#include "base/size.h"
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
    size_t largest = size_multiply(pixels, channels), widest = channels, room = 0;
    maps->unit = (struct compute_sizes){0};
    for (size_t i = 0; i < n; i++) {
        const struct autoencoder_step *step = &steps[i];
        size_t parts = 1, most = size_max(step->in, step->out);
        if (step->kind == STEP_UPSAMPLE)
            pixels = size_multiply(pixels, 4);
        if (step->kind == STEP_ATTENTION) {
            parts = 3; /* q, k and v side by side */
            maps->unit.keys = pixels;
            maps->unit.head_size = most;
        }
        largest = size_max(largest, size_multiply(pixels, most * parts));
        widest = size_max(widest, most);
        room = size_max(room, compute_group_norm_room(pixels, most));
    }
    maps->unit.channels = widest;
    maps->current = arena_take_floats(arena, largest);
    maps->next = arena_take_floats(arena, largest);
    maps->spare = arena_take_floats(arena, largest);
    maps->norm_room = arena_take_floats(arena, room);
}

void autoencoder_maps_turn(struct autoencoder_maps *maps)
{
    float *old = maps->current;
    maps->current = maps->next;
    maps->next = old;
}

/* The result is added to `residual`, if there is one. */
static void convolve(const struct filter *filter,
                     const float *in,
                     const float *residual,
                     float *out,
                     const struct autoencoder_maps *maps)
{
    struct convolution convolution = {
        .height = maps->height,
        .width = maps->width,
        .in_channels = filter->inputs,
        .out_channels = filter->outputs,
        .doubled = filter->doubled,
        .in = in,
        .panels = filter->panels,
        .bias = filter->bias,
        .residual = residual,
        .out = out,
    };
    compute_convolution(maps->compute, &convolution);
}

void autoencoder_convolve(const struct filter *filter,
                          const struct autoencoder_maps *maps,
                          float *out)
{
    convolve(filter, maps->current, NULL, out, maps);
}

/* The same layer at every pixel: a linear layer, or a 1x1 convolution. */
static struct linear_rows pixel_rows(const struct linear *layer,
                                     const float *in,
                                     float *out,
                                     size_t out_stride,
                                     const struct autoencoder_maps *maps)
{
    return (struct linear_rows){
        .rows = maps->height * maps->width,
        .in = in,
        .in_stride = layer->inputs,
        .out = out,
        .out_stride = out_stride,
    };
}

static void mix(const struct linear *layer,
                const float *in,
                float *out,
                const struct autoencoder_maps *maps)
{
    struct linear_rows rows = pixel_rows(layer, in, out, layer->outputs, maps);
    compute_linear(maps->compute, layer, &rows);
}

void autoencoder_mix(const struct linear *kernel, struct autoencoder_maps *maps)
{
    mix(kernel, maps->current, maps->next, maps);
    autoencoder_maps_turn(maps);
}

/* GroupNorm, with SiLU where a convolution follows. */
static void normalise(const struct group_norm *weights,
                      size_t channels,
                      bool silu,
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
        .silu = silu,
    };
    compute_group_norm(maps->compute, &norm, maps->norm_room);
}

void autoencoder_normalise(const struct group_norm *norm,
                           size_t channels,
                           struct autoencoder_maps *maps)
{
    normalise(norm, channels, true, maps->current, maps->current, maps);
}

static void apply_resnet(const struct autoencoder_step *step,
                         struct autoencoder_maps *maps)
{
    normalise(&step->norm1, step->in, true, maps->current, maps->next, maps);
    convolve(&step->convolution1, maps->next, NULL, maps->spare, maps);
    normalise(&step->norm2, step->out, true, maps->spare, maps->spare, maps);
    if (step->in == step->out) {
        convolve(&step->convolution2, maps->spare, maps->current, maps->next, maps);
        autoencoder_maps_turn(maps);
    } else {
        mix(&step->shortcut, maps->current, maps->next, maps);
        convolve(&step->convolution2, maps->spare, maps->next, maps->current, maps);
    }
}

static void apply_attention(const struct autoencoder_step *step,
                            struct autoencoder_maps *maps)
{
    size_t pixels = maps->height * maps->width, n = step->in;
    float *q = maps->spare, *k = q + n, *v = k + n;
    normalise(&step->norm1, n, false, maps->current, maps->next, maps);
    const struct linear_rows rows[] = {
        pixel_rows(&step->q, maps->next, q, 3 * n, maps),
        pixel_rows(&step->k, maps->next, k, 3 * n, maps),
        pixel_rows(&step->v, maps->next, v, 3 * n, maps),
    };
    const struct compute_layer layers[] = {
        {&step->q, &rows[0], 1}, {&step->k, &rows[1], 1}, {&step->v, &rows[2], 1}};
    compute_layers(maps->compute, layers, 3);
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
    struct compute_attention work = {.attentions = &attention, .n = 1};
    compute_attention(maps->compute, &work);
    struct linear_rows out =
        pixel_rows(&step->to_out, maps->next, maps->current, n, maps);
    out.add = true;
    compute_linear(maps->compute, &step->to_out, &out);
}

static void apply_upsample(const struct autoencoder_step *step,
                           struct autoencoder_maps *maps)
{
    maps->height *= 2;
    maps->width *= 2;
    convolve(&step->convolution1, maps->current, NULL, maps->next, maps);
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
