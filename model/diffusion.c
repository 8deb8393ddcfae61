#include "model/diffusion.h"

#include "base/size.h"

#include <math.h>

/* At the very ends of the path a prediction says nothing of the other end. */
static const double margin = 1e-6;

/* v = of_state * x + of_prediction * o. */
struct conversion {
    double of_state, of_prediction;
};

static double radius(double t)
{
    return sqrt(t * t + (1.0 - t) * (1.0 - t));
}

static struct conversion from_noise(double t)
{
    const double left = fmax(1.0 - t, margin);
    return (struct conversion){-1.0 / left, 1.0 / left};
}

static struct conversion from_v(double t)
{
    const double r = radius(t);
    return (struct conversion){(2.0 * t - 1.0) / (r * r), 1.0 / r};
}

static struct conversion from_image(double t)
{
    const double gone = fmax(t, margin);
    return (struct conversion){1.0 / gone, -1.0 / gone};
}

static struct conversion (*const conversions[])(double t) = {
    [PREDICTION_NOISE] = from_noise,
    [PREDICTION_V] = from_v,
    [PREDICTION_IMAGE] = from_image,
};

/* What the network is asked: the same items on its own scale, at its own times. */
static struct velocity_item *ask(const struct diffusion *diffusion,
                                 struct arena *scratch,
                                 const struct velocity_item *items,
                                 size_t n,
                                 struct err *err)
{
    struct velocity_item *asked = arena_take(scratch, n, sizeof(*asked));
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += items[i].height * items[i].width * diffusion->network.channels;
    float *z = arena_take_floats(scratch, total);
    if (arena_check(scratch, "a batch of a diffusion model", err) != ERR_OK)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const size_t values =
            items[i].height * items[i].width * diffusion->network.channels;
        const double t = (double)items[i].t;
        const float scale = (float)(1.0 / radius(t));
        for (size_t k = 0; k < values; k++)
            z[k] = scale * items[i].x[k];
        asked[i] = items[i];
        asked[i].t = (float)diffusion_schedule_network_time(diffusion->schedule, t);
        asked[i].x = z;
        z += values;
    }
    return asked;
}

static void
convert(const struct diffusion *diffusion, const struct velocity_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct conversion exact =
            conversions[diffusion->schedule->prediction]((double)items[i].t);
        const float of_state = (float)exact.of_state;
        const float of_prediction = (float)exact.of_prediction;
        const size_t values =
            items[i].height * items[i].width * diffusion->network.channels;
        float *v = items[i].v;
        for (size_t k = 0; k < values; k++)
            v[k] = of_state * items[i].x[k] + of_prediction * v[k];
    }
}

static enum err_code eval(const void *self,
                          const struct run *run,
                          const struct velocity_item *items,
                          size_t n,
                          struct err *err)
{
    const struct diffusion *diffusion = self;
    const struct velocity *network = &diffusion->network;
    const size_t mark = arena_mark(run->scratch);
    enum err_code code = ERR_NO_MEMORY;
    const struct velocity_item *asked = ask(diffusion, run->scratch, items, n, err);
    if (asked != NULL)
        code = network->eval(network->self, run, asked, n, err);
    if (code == ERR_OK)
        convert(diffusion, items, n);
    arena_rewind(run->scratch, mark);
    return code;
}

static size_t scratch(const void *self, const struct velocity_load *load)
{
    const struct velocity *network = &((const struct diffusion *)self)->network;
    struct arena arena;
    arena_init_measuring(&arena);
    (void)arena_take(&arena, load->items, sizeof(struct velocity_item));
    (void)arena_take_floats(&arena, size_multiply(load->total_tokens, network->channels));
    return size_add(arena.used, network->scratch(network->self, load));
}

struct velocity diffusion_velocity(const struct diffusion *diffusion)
{
    return (struct velocity){
        .self = diffusion,
        .channels = diffusion->network.channels,
        .context_width = diffusion->network.context_width,
        .eval = eval,
        .scratch = scratch,
    };
}
