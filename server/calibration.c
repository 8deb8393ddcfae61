#include "server/calibration.h"

#include "base/clock.h"
#include "base/size.h"

#include <stdlib.h>

/* Seconds for each kind of round, and below which one is timed again: its first time also
 * fetches code, weights and pages. */
static const double budget = 0.15, brief = 0.02;
enum { MAX_TEXT_TOKENS = 512 };

/* What one measurement computes: so many items of height x width latent tokens, with so
 * many tokens of text. Values are zeros: time does not depend on them. */
struct probe {
    enum batcher_work work;
    size_t height, width, text, items;
};

struct calibration {
    const struct bundle *bundle;
    struct arena scratch;
    float *latents; /* of all items, in and out */
    float *context;
    float *pixels;
    struct velocity_item *items;
};

static enum err_code
probe_encode(struct calibration *self, const struct probe *probe, struct err *err)
{
    static const uint32_t ids[MAX_TEXT_TOKENS] = {0};
    const struct text_encoder *encoder = bundle_text_encoder(self->bundle);
    struct run run = {.scratch = &self->scratch};
    struct text_tokens tokens = {ids, probe->text, probe->text};
    return encoder->encode(encoder->self, &run, &tokens, self->context, err);
}

static enum err_code
probe_step(struct calibration *self, const struct probe *probe, struct err *err)
{
    const struct velocity *velocity = bundle_velocity(self->bundle);
    struct run run = {.scratch = &self->scratch};
    struct condition condition = {probe->text, velocity->context_width, self->context};
    size_t values = probe->height * probe->width * velocity->channels;
    for (size_t i = 0; i < probe->items; i++)
        self->items[i] = (struct velocity_item){
            .height = probe->height,
            .width = probe->width,
            .t = 0.5f,
            .x = self->latents,
            .condition = &condition,
            .v = self->latents + (i + 1) * values,
        };
    return velocity->eval(velocity->self, &run, self->items, probe->items, err);
}

static enum err_code
probe_decode(struct calibration *self, const struct probe *probe, struct err *err)
{
    const struct autoencoder *autoencoder = bundle_autoencoder(self->bundle);
    struct run run = {.scratch = &self->scratch};
    struct latent latent = {self->latents, probe->height, probe->width};
    return autoencoder->decode(autoencoder->self, &run, &latent, self->pixels, err);
}

static struct cost_share share_of(const struct probe *probe)
{
    size_t latent = probe->height * probe->width;
    const size_t sizes[BATCHER_WORK_COUNT] = {
        [BATCHER_ENCODE] = probe->text,
        [BATCHER_STEP] = latent + probe->text,
        [BATCHER_DECODE] = latent,
    };
    return (struct cost_share){sizes[probe->work], probe->items};
}

static enum err_code time_probe(struct calibration *self,
                                const struct probe *probe,
                                double *seconds,
                                struct err *err)
{
    static enum err_code (*const probes[BATCHER_WORK_COUNT])(
        struct calibration *, const struct probe *, struct err *) = {
        [BATCHER_ENCODE] = probe_encode,
        [BATCHER_STEP] = probe_step,
        [BATCHER_DECODE] = probe_decode,
    };
    uint64_t start = clock_now();
    enum err_code code = probes[probe->work](self, probe, err);
    *seconds = (double)(clock_now() - start) / 1e9;
    return code;
}

/* Measures one probe into the model; *spent grows by what it took. */
static enum err_code measure(struct calibration *self,
                             const struct probe *probe,
                             struct cost_model *costs,
                             double *spent,
                             struct err *err)
{
    struct cost_share share = share_of(probe);
    struct cost_round round = {.work = probe->work, .shares = &share, .n = 1};
    double first, seconds;
    enum err_code code = time_probe(self, probe, &first, err);
    *spent += seconds = first;
    if (code == ERR_OK && first < brief) {
        code = time_probe(self, probe, &seconds, err);
        *spent += seconds;
    }
    if (code == ERR_OK)
        cost_model_observe(costs, &round, seconds < first ? seconds : first);
    return code;
}

/* The next larger probe: sides double up to the default's, then the batch does. */
static bool grow(struct probe *probe, const struct probe *largest)
{
    bool is_grown = probe->height >= largest->height && probe->width >= largest->width &&
                    probe->text >= largest->text;
    if (is_grown) {
        probe->items *= 2;
        return probe->items <= largest->items;
    }
    probe->height = size_min(2 * probe->height, largest->height);
    probe->width = size_min(2 * probe->width, largest->width);
    probe->text = size_min(4 * probe->text, largest->text);
    return true;
}

static enum err_code measure_work(struct calibration *self,
                                  const struct probe *largest,
                                  struct cost_model *costs,
                                  struct err *err)
{
    struct probe probe = {largest->work, 1, 1, 1, 1};
    double spent = 0.0, expected;
    do {
        enum err_code code = measure(self, &probe, costs, &spent, err);
        if (code != ERR_OK || !grow(&probe, largest))
            return code;
        struct cost_share share = share_of(&probe);
        struct cost_round round = {.work = probe.work, .shares = &share, .n = 1};
        expected = cost_model_predict(costs, &round);
    } while (spent + expected <= budget);
    return ERR_OK;
}

static enum err_code allocate(struct calibration *self,
                              const struct model_setup *setup,
                              const struct probe *step,
                              struct err *err)
{
    const struct bundle_info *info = bundle_info(self->bundle);
    size_t latent = step->height * step->width * info->latent_channels;
    self->latents = calloc((step->items + 1) * latent, sizeof(float));
    self->context = calloc(step->text * info->text_width, sizeof(float));
    self->pixels = calloc(info->width * info->height * 3, sizeof(float));
    self->items = calloc(step->items, sizeof(*self->items));
    if (self->latents == NULL || self->context == NULL || self->pixels == NULL ||
        self->items == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory to measure the model's rounds");
    return arena_init(&self->scratch, setup->plan.scratch, err);
}

enum err_code
calibrate(struct cost_model *costs, const struct model_setup *setup, struct err *err)
{
    struct calibration self = {.bundle = setup->bundle};
    const struct bundle_info *info = bundle_info(setup->bundle);
    size_t height, width;
    model_setup_usual_size(setup, &width, &height);
    height /= info->patch;
    width /= info->patch;
    size_t items = size_min(setup->plan.limits.round_items,
                            setup->plan.limits.round_tokens / (height * width));
    const struct probe largest[] = {
        {BATCHER_ENCODE, 1, 1, info->text_tokens, 1},
        {BATCHER_STEP, height, width, info->text_tokens, size_max(items, 1)},
        {BATCHER_DECODE, height, width, 1, 1},
    };
    enum err_code code = allocate(&self, setup, &largest[1], err);
    for (size_t i = 0; code == ERR_OK && i < sizeof(largest) / sizeof(largest[0]); i++)
        code = measure_work(&self, &largest[i], costs, err);
    free(self.latents);
    free(self.context);
    free(self.pixels);
    free(self.items);
    arena_finish(&self.scratch);
    return code;
}
