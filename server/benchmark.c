#include "server/benchmark.h"

#include "base/clock.h"
#include "base/size.h"
#include "model/kernels/peak.h"
#include "server/helpers.h"

#include <stdlib.h>

const size_t benchmark_batches[BENCHMARK_BATCHES] = {1, 2, 4, 8, 16};

enum { MOST_RUNS = 25, LEAST_RUNS = 3, PEAK_TRIALS = 25, TEXT_TOKENS = 512 };

/* How many kinds of work share the time, and how much of it trials get. */
static const double works = BENCHMARK_SIZES * (BENCHMARK_BATCHES + 1) + 1,
                    trials_share = 0.2;

/* What is being measured. */
struct plan {
    struct benchmark *out;
    const struct model_setup *setup;
    double budget; /* seconds for each kind of work */
};

/* One kind of work: a call into the model, and what it needs. */
struct probe {
    const struct bundle *bundle;
    size_t height, width, items; /* latent tokens; velocities of one round */
    enum err_code (*call)(const struct probe *probe,
                          const struct run *run,
                          struct err *err);
    size_t scratch; /* bytes that the call needs */
    struct team *team;
    float *in, *out, *context;
    struct velocity_item *list;
};

static enum err_code
call_encode(const struct probe *probe, const struct run *run, struct err *err)
{
    static const uint32_t ids[TEXT_TOKENS] = {0};
    const struct text_encoder *encoder = bundle_text_encoder(probe->bundle);
    size_t n = bundle_info(probe->bundle)->text_tokens;
    struct text_tokens tokens = {ids, n, n};
    return encoder->encode(encoder->self, run, &tokens, probe->context, err);
}

static enum err_code
call_round(const struct probe *probe, const struct run *run, struct err *err)
{
    const struct velocity *velocity = bundle_velocity(probe->bundle);
    const struct condition condition = {bundle_info(probe->bundle)->text_tokens,
                                        velocity->context_width, probe->context};
    size_t values = probe->height * probe->width * velocity->channels;
    for (size_t i = 0; i < probe->items; i++)
        probe->list[i] = (struct velocity_item){
            .height = probe->height,
            .width = probe->width,
            .t = 0.5f,
            .x = probe->in + i * values,
            .condition = &condition,
            .v = probe->out + i * values,
        };
    return velocity->eval(velocity->self, run, probe->list, probe->items, err);
}

static enum err_code
call_decode(const struct probe *probe, const struct run *run, struct err *err)
{
    const struct autoencoder *autoencoder = bundle_autoencoder(probe->bundle);
    struct latent latent = {probe->in, probe->height, probe->width};
    return autoencoder->decode(autoencoder->self, run, &latent, probe->out, err);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Runs, and what they took; tallies of the same work have the same rows. */
struct samples {
    size_t n;
    double seconds[MOST_RUNS];
    struct tally tallies[MOST_RUNS];
};

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2.0;
}

static void summarise(struct samples *samples, struct benchmark_work *out)
{
    double took[MOST_RUNS];
    out->runs = samples->n;
    out->tally = samples->tallies[0];
    for (size_t row = 0; row < out->tally.n; row++) {
        for (size_t i = 0; i < samples->n; i++)
            took[i] = (double)samples->tallies[i].rows[row].took;
        out->tally.rows[row].took = (uint64_t)median(took, samples->n);
    }
    for (size_t i = 0; i < samples->n; i++)
        took[i] = (double)samples->tallies[i].took;
    out->tally.took = (uint64_t)median(took, samples->n);
    out->seconds = median(samples->seconds, samples->n);
}

/* Once to fetch code, weights and pages, then as often as the time allows; when the first
 * was already long, it counts. */
static enum err_code time_work(struct benchmark_work *out,
                               const struct probe *probe,
                               struct arena *scratch,
                               double budget,
                               struct err *err)
{
    enum err_code code = ERR_OK;
    double spent = 0.0;
    bool is_warm = false;
    struct samples *samples = malloc(sizeof(*samples));
    if (samples == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for measurements");
    samples->n = 0;
    do {
        struct tally *tally = &samples->tallies[samples->n];
        struct run run = {.scratch = scratch, .team = probe->team, .tally = tally};
        *tally = (struct tally){0};
        uint64_t start = clock_now();
        code = probe->call(probe, &run, err);
        double took = (double)(clock_now() - start) / 1e9;
        spent += took;
        samples->seconds[samples->n] = took;
        samples->n += is_warm || took > budget / LEAST_RUNS;
        is_warm = true;
    } while (code == ERR_OK && samples->n < MOST_RUNS &&
             (spent < budget || samples->n == 0));
    if (code == ERR_OK)
        summarise(samples, out);
    free(samples);
    return code;
}

/* Noise-like values: none is subnormal. */
static float *new_values(size_t n)
{
    float *values =
        n > SIZE_MAX / sizeof(float) ? NULL : malloc(size_max(n, 1) * sizeof(float));
    for (size_t i = 0; values != NULL && i < n; i++)
        values[i] = (float)((int)(i * 7919 % 2048) - 1024) / 512.0f + 1.0f / 4096.0f;
    return values;
}

static void
size_probe(const struct probe *probe, size_t *in, size_t *out, size_t *context)
{
    const struct bundle_info *info = bundle_info(probe->bundle);
    size_t tokens = size_multiply(probe->height, probe->width),
           latent = size_multiply(size_multiply(tokens, info->latent_channels),
                                  size_max(probe->items, 1)),
           pixels = size_multiply(tokens, size_multiply(info->patch * info->patch, 3));
    *in = latent;
    *out = probe->call == call_decode ? pixels : latent;
    *context = size_multiply(info->text_tokens, info->text_width);
}

/* Memory that the probe needs beside the weights. */
static size_t probe_bytes(const struct probe *probe)
{
    size_t in, out, context;
    size_probe(probe, &in, &out, &context);
    return size_add(probe->scratch,
                    size_multiply(size_add(size_add(in, out), context), sizeof(float)));
}

/* With helpers for all threads but this one. */
static enum err_code time_together(struct benchmark_work *out,
                                   struct probe *probe,
                                   const struct plan *plan,
                                   struct arena *scratch,
                                   struct err *err)
{
    struct helpers *helpers = NULL;
    struct team team;
    team_init(&team);
    probe->team = &team;
    enum err_code code =
        helpers_start(&helpers, &team, plan->out->threads - 1, probe->scratch, err);
    if (code == ERR_OK)
        code = time_work(out, probe, scratch, plan->budget, err);
    helpers_stop(helpers);
    probe->team = NULL;
    return code;
}

static enum err_code time_probe(struct benchmark_work *out,
                                struct probe *probe,
                                const struct plan *plan,
                                struct err *err)
{
    size_t in, results, context;
    struct arena scratch = {0};
    size_probe(probe, &in, &results, &context);
    probe->in = new_values(in);
    probe->out = new_values(results);
    probe->context = new_values(context);
    probe->list = calloc(size_max(probe->items, 1), sizeof(*probe->list));
    enum err_code code =
        probe->in == NULL || probe->out == NULL || probe->context == NULL ||
                probe->list == NULL
            ? err_set(err, ERR_NO_MEMORY, "no memory for %zu pictures of %zux%zu tokens",
                      probe->items, probe->width, probe->height)
            : arena_init(&scratch, probe->scratch, err);
    if (code == ERR_OK)
        code = time_together(out, probe, plan, &scratch, err);
    arena_finish(&scratch);
    free(probe->in);
    free(probe->out);
    free(probe->context);
    free(probe->list);
    return code;
}

/* One round and one decode of the default size are worth any time. */
static bool is_affordable(const struct plan *plan,
                          const struct probe *probe,
                          size_t size,
                          double seconds)
{
    bool is_usual = size == BENCHMARK_USUAL && probe->items <= 1;
    return (is_usual || seconds <= 4.0 * plan->budget) &&
           size_multiply(probe_bytes(probe), plan->out->threads) <=
               plan->setup->memory_limit / 2;
}

/* A size's rounds, the batch growing; each is expected to take in proportion. */
static enum err_code
measure_rounds(const struct plan *plan, size_t at, double expected, struct err *err)
{
    struct benchmark_size *size = &plan->out->sizes[at];
    const struct bundle_info *info = bundle_info(plan->setup->bundle);
    const struct velocity *velocity = bundle_velocity(plan->setup->bundle);
    for (size_t i = 0; i < BENCHMARK_BATCHES; i++) {
        size_t items = benchmark_batches[i];
        struct velocity_load load = {
            items, size->tokens, size_multiply(items, size->tokens), info->text_tokens};
        struct probe probe = {
            .bundle = plan->setup->bundle,
            .height = size->height / info->patch,
            .width = size->width / info->patch,
            .items = items,
            .call = call_round,
            .scratch = velocity->scratch(velocity->self, &load),
        };
        if (!is_affordable(plan, &probe, at, expected * (double)items))
            return ERR_OK;
        enum err_code code = time_probe(&size->rounds[i], &probe, plan, err);
        if (code != ERR_OK)
            return code;
        expected = size->rounds[i].seconds / (double)items;
    }
    return ERR_OK;
}

static enum err_code
measure_decode(const struct plan *plan, size_t at, double expected, struct err *err)
{
    struct benchmark_size *size = &plan->out->sizes[at];
    const struct bundle_info *info = bundle_info(plan->setup->bundle);
    const struct autoencoder *autoencoder = bundle_autoencoder(plan->setup->bundle);
    struct probe probe = {
        .bundle = plan->setup->bundle,
        .height = size->height / info->patch,
        .width = size->width / info->patch,
        .call = call_decode,
        .scratch = autoencoder->scratch(autoencoder->self, size->tokens),
    };
    if (!is_affordable(plan, &probe, at, expected))
        return ERR_OK;
    return time_probe(&size->decode, &probe, plan, err);
}

static enum err_code measure_encode(const struct plan *plan, struct err *err)
{
    const struct text_encoder *encoder = bundle_text_encoder(plan->setup->bundle);
    struct probe probe = {
        .bundle = plan->setup->bundle,
        .call = call_encode,
        .scratch = encoder->scratch(encoder->self,
                                    bundle_info(plan->setup->bundle)->text_tokens),
    };
    return time_probe(&plan->out->encode, &probe, plan, err);
}

/* Half of the default's sides, the default's, and twice and four times them, whatever the
 * model's limit. A size is expected to take longer than the one before in proportion to
 * its tokens, which is a little less than it will. */
static enum err_code measure_sizes(const struct plan *plan, struct err *err)
{
    const struct bundle_info *info = bundle_info(plan->setup->bundle);
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < BENCHMARK_SIZES; i++) {
        struct benchmark_size *size = &plan->out->sizes[i], *before = size - 1;
        size->width = size_max((info->width << i) / 2 / info->patch, 1) * info->patch;
        size->height = size_max((info->height << i) / 2 / info->patch, 1) * info->patch;
        size->tokens = size->width / info->patch * (size->height / info->patch);
        double growth = i == 0 ? 0.0 : (double)size->tokens / (double)before->tokens;
        double round = i == 0 ? 0.0 : before->rounds[0].seconds * growth;
        double decode = i == 0 ? 0.0 : before->decode.seconds * growth;
        if (i <= BENCHMARK_USUAL || before->rounds[0].runs > 0)
            code = measure_rounds(plan, i, round, err);
        if (code == ERR_OK && (i <= BENCHMARK_USUAL || before->decode.runs > 0))
            code = measure_decode(plan, i, decode, err);
    }
    return code;
}

/* Adds a trial, unless it is there or there is no room. */
static void add_trial(struct benchmark *out, const struct trial *trial)
{
    for (size_t i = 0; i < out->n_trials; i++) {
        const struct trial *other = &out->trials[i].trial;
        if (other->kind == trial->kind && other->rows == trial->rows &&
            other->inputs == trial->inputs && other->outputs == trial->outputs)
            return;
    }
    if (out->n_trials < BENCHMARK_TRIALS)
        out->trials[out->n_trials++].trial = *trial;
}

/* The shapes of a round's products, each with several numbers of rows. */
static void plan_products(struct benchmark *out, const struct tally *round)
{
    static const size_t rows[BENCHMARK_ROW_COUNTS] = {1, 24, 48, 96, 192, 768};
    size_t shapes = 0;
    for (size_t i = 0; i < round->n && shapes < BENCHMARK_SHAPES; i++) {
        const struct tally_shape *shape = &round->rows[i].shape;
        if (shape->kind != TALLY_PRODUCT || shape->rows == 1)
            continue;
        size_t before = out->n_trials;
        for (size_t r = 0; r < BENCHMARK_ROW_COUNTS; r++) {
            struct trial trial = {TRIAL_PRODUCT, rows[r], shape->inputs, shape->outputs};
            add_trial(out, &trial);
        }
        shapes += out->n_trials > before;
    }
}

/* The row of that kind with the most arithmetic; NULL when there is none. */
static const struct tally_row *largest(const struct tally *tally, enum tally_kind kind)
{
    const struct tally_row *found = NULL;
    for (size_t i = 0; i < tally->n; i++) {
        const struct tally_row *row = &tally->rows[i];
        if (row->shape.kind == kind &&
            (found == NULL || row->operations > found->operations))
            found = row;
    }
    return found;
}

static void plan_trials(struct benchmark *out)
{
    const struct benchmark_size *usual = &out->sizes[BENCHMARK_USUAL];
    const struct tally *round = &usual->rounds[0].tally;
    const struct tally_row *attention = largest(round, TALLY_ATTENTION),
                           *convolution =
                               largest(&usual->decode.tally, TALLY_CONVOLUTION);
    plan_products(out, round);
    if (attention != NULL) {
        const struct tally_shape *shape = &attention->shape;
        size_t head = shape->outputs, width = head * shape->heads;
        const struct trial trials[] = {
            {TRIAL_ATTENTION, shape->rows, shape->inputs, head},
            {TRIAL_NORM_RMS, shape->rows, head, 0},
            {TRIAL_ROTARY, shape->rows, head, 0},
            {TRIAL_NORM_MODULATED, shape->rows, width, 0},
            {TRIAL_SOFTMAX, shape->rows, shape->inputs, 0},
            {TRIAL_SILU, shape->rows, width, 0},
        };
        for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++)
            add_trial(out, &trials[i]);
    }
    if (convolution != NULL) {
        const struct tally_shape *shape = &convolution->shape;
        const struct trial trials[] = {
            {TRIAL_CONVOLUTION, shape->rows, shape->inputs, shape->outputs},
            {TRIAL_NORM_GROUP, shape->rows, shape->inputs, 0},
        };
        for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++)
            add_trial(out, &trials[i]);
    }
}

static enum err_code measure_trials(struct benchmark *out,
                                    const struct kernels *kernels,
                                    double budget,
                                    struct err *err)
{
    enum err_code code = ERR_OK;
    plan_trials(out);
    for (size_t i = 0; code == ERR_OK && i < out->n_trials; i++)
        code =
            trial_measure(&out->trials[i].trial, kernels, budget / (double)out->n_trials,
                          &out->trials[i].seconds, err);
    return code;
}

enum err_code benchmark_run(struct benchmark *out,
                            const struct model_setup *setup,
                            const struct kernels *kernels,
                            size_t threads,
                            double seconds,
                            struct err *err)
{
    *out = (struct benchmark){.threads = threads,
                              .peak = peak_measure(kernels, PEAK_TRIALS)};
    struct plan plan = {out, setup, seconds * (1.0 - trials_share) / works};
    enum err_code code = measure_encode(&plan, err);
    if (code == ERR_OK)
        code = measure_sizes(&plan, err);
    if (code == ERR_OK)
        code = measure_trials(out, kernels, seconds * trials_share, err);
    /* The clock frequency may have been another at the beginning. */
    double peak = peak_measure(kernels, PEAK_TRIALS);
    out->peak = peak > out->peak ? peak : out->peak;
    return code;
}

bool benchmark_request(const struct benchmark *benchmark,
                       size_t size,
                       unsigned evaluations,
                       double *seconds,
                       double *operations)
{
    const struct benchmark_work *encode = &benchmark->encode,
                                *round = &benchmark->sizes[size].rounds[0],
                                *decode = &benchmark->sizes[size].decode;
    *seconds = encode->seconds + evaluations * round->seconds + decode->seconds;
    *operations = encode->tally.operations + evaluations * round->tally.operations +
                  decode->tally.operations;
    return encode->runs > 0 && round->runs > 0 && decode->runs > 0;
}
