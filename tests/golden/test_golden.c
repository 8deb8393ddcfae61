/* test_golden <model folder> <folder with expected.json and expected.safetensors>
 *
 * Compares every stage with what diffusers and transformers computed in float32
 * (export.py wrote it): token ids exactly, context, velocity and decoder within 2e-5 of
 * the largest value, times within 1e-6, final pixels within 1 of 255 everywhere and equal
 * in 99 % of places. SLUICE_KERNELS chooses what it computes with. */
#include "base/clock.h"
#include "model/bundle.h"
#include "model/pixels.h"
#include "model/safetensors.h"
#include "sampler/schedule.h"
#include "sampler/trajectory.h"
#include "tests/check.h"

#include <jansson.h>

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { MAX_IDS = 512, SKIPPED = 77 };

struct golden {
    struct bundle *bundle;
    const struct bundle_info *info;
    struct safetensors *file;
    json_t *expected;
    struct arena scratch;
    struct run run;
};

static void *
read_tensor(const struct golden *g, const struct tensor **tensor, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The named tensor's bytes, new; exits when it is not there. */
static void *
read_tensor(const struct golden *g, const struct tensor **tensor, const char *format, ...)
{
    char name[128];
    struct err err;
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(name, sizeof(name), format, ap);
    va_end(ap);
    *tensor = safetensors_find(g->file, name);
    if (*tensor == NULL) {
        (void)fprintf(stderr, "expected.safetensors has no %s\n", name);
        exit(1);
    }
    void *data = malloc((*tensor)->bytes + 1);
    CHECK(data != NULL);
    CHECK_OK(safetensors_read(g->file, *tensor, data, &err), err);
    return data;
}

/* max|a - b| / max|b|. */
static double relative_error(const float *a, const float *b, size_t n)
{
    double most = 0.0, worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)b[i]));
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        if (isnan(a[i]))
            return (double)INFINITY;
    }
    return most > 0.0 ? worst / most : worst;
}

static void judge(const char *what, size_t i, double error, double allowed)
{
    (void)fprintf(stderr, "  %s %zu: %.2e (allowed %.0e)\n", what, i, error, allowed);
    CHECK(error <= allowed);
}

static size_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    CHECK(json_is_integer(value));
    return (size_t)json_integer_value(value);
}

static const char *prompt_at(const struct golden *g, size_t i)
{
    const char *prompt =
        json_string_value(json_array_get(json_object_get(g->expected, "prompts"), i));
    CHECK(prompt != NULL);
    return prompt;
}

/* The context of a prompt, computed by us: [text_tokens, width], new. */
static float *
encode(const struct golden *g, const char *prompt, const int64_t *expected_ids)
{
    struct err err;
    uint32_t ids[MAX_IDS];
    size_t n = g->info->text_tokens;
    struct token_ids out = {.ids = ids, .room = MAX_IDS};
    CHECK_OK(tokenizer_encode_prompt(bundle_tokenizer(g->bundle), prompt, strlen(prompt),
                                     &out, &err),
             err);
    for (size_t t = 0; expected_ids != NULL && t < n; t++) {
        if ((int64_t)ids[t] != expected_ids[t]) {
            (void)fprintf(stderr, "token %zu of '%s' is %u, expected %lld\n", t, prompt,
                          ids[t], (long long)expected_ids[t]);
            exit(1);
        }
    }
    const struct text_encoder *encoder = bundle_text_encoder(g->bundle);
    CHECK(n > 0 && encoder->width > 0);
    float *context = malloc(n * encoder->width * sizeof(*context));
    CHECK(context != NULL);
    struct text_tokens tokens = {ids, n, out.used};
    CHECK_OK(encoder->encode(encoder->self, &g->run, &tokens, context, &err), err);
    return context;
}

static void check_prompts(const struct golden *g)
{
    size_t n = json_array_size(json_object_get(g->expected, "prompts"));
    CHECK(n > 0);
    for (size_t i = 0; i < n; i++) {
        const struct tensor *tensor;
        int64_t *ids = read_tensor(g, &tensor, "tokens.%zu.ids", i);
        CHECK(tensor->elements == g->info->text_tokens);
        float *found = encode(g, prompt_at(g, i), ids);
        float *context = read_tensor(g, &tensor, "context.%zu", i);
        CHECK(tensor->elements == g->info->text_tokens * g->info->text_width);
        judge("context", i, relative_error(found, context, tensor->elements), 2e-5);
        free(ids);
        free(context);
        free(found);
    }
}

/* Each velocity alone, then all of them in one batch: the same bytes. */
static void check_velocities(const struct golden *g)
{
    enum { MOST = 16 };
    struct err err;
    const struct velocity *velocity = bundle_velocity(g->bundle);
    const json_t *list = json_object_get(g->expected, "velocity");
    size_t n = json_array_size(list);
    struct velocity_item items[MOST];
    struct condition conditions[MOST];
    float *alone[MOST], *contexts[MOST], *inputs[MOST];
    CHECK(n > 0 && n <= MOST);
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(list, i);
        const struct tensor *tensor;
        contexts[i] = read_tensor(g, &tensor, "context.%zu", number(entry, "prompt"));
        conditions[i] =
            (struct condition){tensor->shape[0], tensor->shape[1], contexts[i]};
        inputs[i] = read_tensor(g, &tensor, "velocity.%zu.x", i);
        float *expected = read_tensor(g, &tensor, "velocity.%zu.v", i);
        alone[i] = calloc(tensor->elements, sizeof(float));
        items[i] =
            (struct velocity_item){number(entry, "height"),
                                   number(entry, "width"),
                                   (float)json_number_value(json_object_get(entry, "t")),
                                   inputs[i],
                                   &conditions[i],
                                   alone[i]};
        CHECK(tensor->elements == items[i].height * items[i].width * velocity->channels);
        CHECK_OK(velocity->eval(velocity->self, &g->run, &items[i], 1, &err), err);
        judge("velocity", i, relative_error(alone[i], expected, tensor->elements), 2e-5);
        free(expected);
        items[i].v = calloc(tensor->elements, sizeof(float));
    }
    CHECK_OK(velocity->eval(velocity->self, &g->run, items, n, &err), err);
    for (size_t i = 0; i < n; i++) {
        size_t bytes =
            items[i].height * items[i].width * velocity->channels * sizeof(float);
        CHECK(memcmp(alone[i], items[i].v, bytes) == 0);
        free(alone[i]);
        free(items[i].v);
        free(inputs[i]);
        free(contexts[i]);
    }
}

static void check_decoders(const struct golden *g)
{
    struct err err;
    const struct autoencoder *autoencoder = bundle_autoencoder(g->bundle);
    const json_t *list = json_object_get(g->expected, "decoder");
    CHECK(json_array_size(list) > 0);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct tensor *tensor;
        const json_t *entry = json_array_get(list, i);
        float *values = read_tensor(g, &tensor, "decoder.%zu.latent", i);
        struct latent latent = {values, number(entry, "height"), number(entry, "width")};
        float *expected = read_tensor(g, &tensor, "decoder.%zu.pixels", i);
        float *pixels = malloc(tensor->bytes);
        CHECK(pixels != NULL);
        CHECK_OK(autoencoder->decode(autoencoder->self, &g->run, &latent, pixels, &err),
                 err);
        judge("decoder", i, relative_error(pixels, expected, tensor->elements), 2e-5);
        free(values);
        free(expected);
        free(pixels);
    }
}

static void check_times(const struct golden *g)
{
    const json_t *list = json_object_get(g->expected, "times");
    CHECK(json_array_size(list) > 0);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct tensor *tensor;
        const json_t *entry = json_array_get(list, i);
        float times[1024], *expected = read_tensor(g, &tensor, "times.%zu", i);
        size_t steps = number(entry, "steps");
        CHECK(steps < 1023 && tensor->elements == steps + 1);
        schedule_times(&g->info->scheduler, (unsigned)steps, number(entry, "tokens"),
                       times);
        for (size_t k = 0; k <= steps; k++)
            CHECK(fabs((double)times[k] - (double)expected[k]) <= 1e-6);
        free(expected);
    }
}

/* A whole picture, as the service makes it. */
static void generate(const struct golden *g, const json_t *entry, uint8_t *bytes)
{
    struct err err;
    const struct velocity *velocity = bundle_velocity(g->bundle);
    const struct autoencoder *autoencoder = bundle_autoencoder(g->bundle);
    const char *negative = json_string_value(json_object_get(entry, "negative_prompt"));
    float *context = encode(g, prompt_at(g, number(entry, "prompt")), NULL);
    float *negative_context = encode(g, negative == NULL ? "" : negative, NULL);
    struct condition prompt = {g->info->text_tokens, g->info->text_width, context};
    struct condition negative_condition = prompt;
    negative_condition.context = negative_context;
    struct sampling sampling = {
        .seed = (uint32_t)number(entry, "seed"),
        .steps = (unsigned)number(entry, "steps"),
        .width = number(entry, "width"),
        .height = number(entry, "height"),
        .guidance = json_number_value(json_object_get(entry, "guidance")),
        .solver = SOLVER_EULER,
    };
    struct trajectory *trajectory;
    struct velocity_item items[TRAJECTORY_MAX_ITEMS];
    size_t n;
    CHECK_OK(trajectory_create(&trajectory, &sampling, &g->info->scheduler,
                               g->info->patch, g->info->latent_channels, &err),
             err);
    while ((n = trajectory_want(trajectory, &prompt, &negative_condition, items)) > 0) {
        CHECK_OK(velocity->eval(velocity->self, &g->run, items, n, &err), err);
        trajectory_give(trajectory);
    }
    size_t values = sampling.width * sampling.height * 3;
    float *pixels = malloc(values * sizeof(*pixels));
    CHECK(pixels != NULL);
    struct latent latent = {trajectory_latent(trajectory),
                            sampling.height / g->info->patch,
                            sampling.width / g->info->patch};
    CHECK_OK(autoencoder->decode(autoencoder->self, &g->run, &latent, pixels, &err), err);
    pixels_to_bytes(pixels, values, bytes);
    free(pixels);
    trajectory_destroy(trajectory);
    free(context);
    free(negative_context);
}

static void check_runs(const struct golden *g)
{
    const json_t *list = json_object_get(g->expected, "runs");
    CHECK(json_array_size(list) > 0);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct tensor *tensor;
        uint8_t *expected = read_tensor(g, &tensor, "run.%zu.pixels", i);
        uint8_t *bytes = malloc(tensor->bytes);
        CHECK(bytes != NULL);
        generate(g, json_array_get(list, i), bytes);
        size_t different = 0;
        int worst = 0;
        for (size_t k = 0; k < tensor->bytes; k++) {
            int d = abs((int)bytes[k] - (int)expected[k]);
            different += d != 0;
            worst = d > worst ? d : worst;
        }
        (void)fprintf(stderr, "  run %zu: worst %d of 255, %zu of %zu places differ\n", i,
                      worst, different, tensor->bytes);
        CHECK(worst <= 1);
        CHECK(different * 100 <= tensor->bytes);
        free(expected);
        free(bytes);
    }
}

int main(int argc, char **argv)
{
    char path[1024];
    struct err err;
    json_error_t parse;
    struct golden g = {0};
    if (argc != 3) {
        (void)fprintf(stderr, "usage: test_golden <model folder> <expected folder>\n");
        return 2;
    }
    bundle_init();
    const struct kernels *kernels = NULL;
    enum err_code chosen = kernels_choose(&kernels, getenv("SLUICE_KERNELS"), &err);
    if (chosen == ERR_UNSUPPORTED) {
        (void)fprintf(stderr, "SKIPPED: %s\n", err.message);
        return SKIPPED;
    }
    CHECK_OK(chosen, err);
    CHECK_OK(bundle_open(&g.bundle, argv[1], kernels, &err), err);
    CHECK_OK(bundle_load(g.bundle, &err), err);
    g.info = bundle_info(g.bundle);
    (void)snprintf(path, sizeof(path), "%s/expected.json", argv[2]);
    g.expected = json_load_file(path, 0, &parse);
    CHECK(g.expected != NULL);
    (void)snprintf(path, sizeof(path), "%s/expected.safetensors", argv[2]);
    CHECK_OK(safetensors_open(&g.file, path, &err), err);

    struct bundle_load_limits limits = {g.info->max_pixels, 16, 4096};
    CHECK_OK(arena_init(&g.scratch, bundle_scratch(g.bundle, &limits), &err), err);
    g.run.scratch = &g.scratch;
    uint64_t start = clock_now();
    check_prompts(&g);
    check_velocities(&g);
    check_decoders(&g);
    check_times(&g);
    check_runs(&g);
    (void)fprintf(stderr, "  %.0f ms\n", clock_milliseconds(clock_now() - start));

    arena_finish(&g.scratch);
    safetensors_close(g.file);
    json_decref(g.expected);
    bundle_destroy(g.bundle);
    return 0;
}
