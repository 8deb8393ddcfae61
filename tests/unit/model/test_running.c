/* The parts of a loaded bundle at work: enough scratch is enough, stopping stops, wrong
 * input is refused, an item's bytes depend on nothing else, padding is not seen, and all
 * kernels agree, with helpers and without. */
#include "model/bundle.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define GOLDEN(name) SLUICE_SOURCE_DIR "/tests/golden/" name "/model"

static const char *const folders[] = {GOLDEN("f32"), GOLDEN("bf16-sharded"),
                                      GOLDEN("f16-distilled"), GOLDEN("two-taps"),
                                      GOLDEN("one-head")};
enum {
    FOLDERS = sizeof(folders) / sizeof(folders[0]),
    MOST_ITEMS = 20,
    MAX_TEXT = 64,
    HELPERS = 2
};

/* A loaded model and what a worker has. */
struct work {
    struct bundle *bundle;
    const struct bundle_info *info;
    const struct velocity *velocity;
    const struct text_encoder *encoder;
    const struct autoencoder *autoencoder;
    struct bundle_load_limits limits;
    struct arena scratch;
    atomic_bool stop;
    struct run run;
};

static void open_work(struct work *work, const char *folder, const char *kernels_name)
{
    const struct kernels *kernels;
    struct err err;
    *work = (struct work){0};
    CHECK_OK(kernels_choose(&kernels, kernels_name, &err), err);
    CHECK_OK(bundle_open(&work->bundle, folder, kernels, &err), err);
    CHECK_OK(bundle_load(work->bundle, &err), err);
    work->info = bundle_info(work->bundle);
    work->velocity = bundle_velocity(work->bundle);
    work->encoder = bundle_text_encoder(work->bundle);
    work->autoencoder = bundle_autoencoder(work->bundle);
    const size_t patch = work->info->patch;
    work->limits = (struct bundle_load_limits){
        .max_pixels = 30 * patch * patch, .round_items = MOST_ITEMS, .round_tokens = 250};
    CHECK_OK(
        arena_init(&work->scratch, bundle_scratch(work->bundle, &work->limits), &err),
        err);
    work->run = (struct run){.scratch = &work->scratch, .stop = &work->stop};
}

static void close_work(struct work *work)
{
    arena_finish(&work->scratch);
    bundle_destroy(work->bundle);
}

/* --- a batch ----------------------------------------------------------------------- */

struct batch {
    struct velocity_item items[MOST_ITEMS];
    struct condition conditions[MOST_ITEMS];
    float *memory[3 * MOST_ITEMS];
    size_t n;
};

/* Items of random sizes that together have at most `tokens` latent tokens. */
static void
draw_batch(struct batch *batch, const struct work *work, struct draw *draw, size_t tokens)
{
    *batch = (struct batch){0};
    while (batch->n < MOST_ITEMS) {
        const size_t height = 1 + draw_below(draw, 5), width = 1 + draw_below(draw, 6);
        if (height * width > tokens)
            break;
        tokens -= height * width;
        const size_t n = height * width * work->info->latent_channels, i = batch->n++;
        const size_t text = work->info->text_tokens, wide = work->info->text_width;
        batch->memory[3 * i] = draw_floats(draw, n);
        batch->memory[3 * i + 1] = draw_floats(draw, n);
        batch->memory[3 * i + 2] = draw_floats(draw, text * wide);
        batch->conditions[i] = (struct condition){text, wide, batch->memory[3 * i + 2]};
        batch->items[i] = (struct velocity_item){height,
                                                 width,
                                                 0.5f + 0.5f * draw_float(draw),
                                                 batch->memory[3 * i],
                                                 &batch->conditions[i],
                                                 batch->memory[3 * i + 1]};
    }
}

static void free_batch(struct batch *batch)
{
    for (size_t i = 0; i < sizeof(batch->memory) / sizeof(batch->memory[0]); i++)
        free(batch->memory[i]);
}

static enum err_code
evaluate(struct work *work, struct batch *batch, size_t n, struct err *err)
{
    const enum err_code code =
        work->velocity->eval(work->velocity->self, &work->run, batch->items, n, err);
    CHECK(arena_mark(&work->scratch) == 0); /* all was given back */
    return code;
}

static size_t bytes_of(const struct work *work, const struct velocity_item *item)
{
    return item->height * item->width * work->info->latent_channels * sizeof(float);
}

/* Any batch within the limits fits, and each item alone gives the same bytes. */
static void test_batches(struct work *work)
{
    struct draw draw = {1};
    for (int i = 0; i < 30; i++) {
        struct batch batch;
        struct err err;
        draw_batch(&batch, work, &draw, work->limits.round_tokens);
        CHECK_OK(evaluate(work, &batch, batch.n, &err), err);
        for (size_t k = 0; k < batch.n; k++) {
            struct batch alone = {.n = 1};
            const size_t bytes = bytes_of(work, &batch.items[k]);
            float *v = malloc(bytes);
            CHECK(v != NULL);
            alone.items[0] = batch.items[k];
            alone.items[0].v = v;
            CHECK_OK(evaluate(work, &alone, 1, &err), err);
            CHECK(memcmp(v, batch.items[k].v, bytes) == 0);
            free(v);
        }
        free_batch(&batch);
    }
}

/* What does not fit is said, nothing is written beyond, and the scratch is free again. */
static void test_small_scratch(struct work *work)
{
    struct draw draw = {2};
    struct arena whole = work->scratch;
    struct batch batch;
    struct err err = {0};
    draw_batch(&batch, work, &draw, 20);
    for (size_t size = 0; size < whole.size; size += whole.size / 50 + 64) {
        work->scratch.size = size;
        const enum err_code code = evaluate(work, &batch, batch.n, &err);
        CHECK(code == ERR_OK || code == ERR_NO_MEMORY);
        CHECK(code == ERR_OK || strstr(err.message, "does not fit") != NULL);
        CHECK(size > 0 || code == ERR_NO_MEMORY);
    }
    free_batch(&batch);
    work->scratch = whole;
}

static void test_wrong_input(struct work *work)
{
    struct draw draw = {3};
    struct batch batch;
    struct err err = {0};
    draw_batch(&batch, work, &draw, 20);
    batch.conditions[batch.n - 1].width++;
    CHECK(evaluate(work, &batch, batch.n, &err) == ERR_INVALID);
    CHECK(strstr(err.message, "expected") != NULL);
    free_batch(&batch);

    uint32_t ids[MAX_TEXT] = {0};
    const size_t n = work->info->text_tokens;
    float *context = malloc(n * work->encoder->width * sizeof(*context));
    CHECK(context != NULL && n <= MAX_TEXT);
    ids[n - 1] = (uint32_t)work->encoder->vocabulary;
    const struct text_tokens tokens = {ids, n, 1};
    CHECK(work->encoder->encode(work->encoder->self, &work->run, &tokens, context,
                                &err) == ERR_INVALID);
    CHECK(strstr(err.message, "the vocabulary has") != NULL);
    CHECK(arena_mark(&work->scratch) == 0);
    free(context);
}

/* --- text -------------------------------------------------------------------------- */

static float *encode(struct work *work, const uint32_t *ids, size_t used)
{
    struct err err;
    const size_t n = work->info->text_tokens;
    float *context = malloc(n * work->encoder->width * sizeof(*context));
    CHECK(context != NULL);
    const struct text_tokens tokens = {ids, n, used};
    CHECK_OK(
        work->encoder->encode(work->encoder->self, &work->run, &tokens, context, &err),
        err);
    CHECK(arena_mark(&work->scratch) == 0);
    return context;
}

/* Which rows of the context change when one token does: from it on, as far as keys are
 * seen; and of the padding, which nobody sees, its own alone. */
static void test_masks(struct work *work)
{
    struct draw draw = {4};
    const size_t n = work->info->text_tokens, row = work->encoder->width;
    for (int i = 0; i < 20; i++) {
        uint32_t ids[MAX_TEXT];
        for (size_t t = 0; t < n; t++)
            ids[t] = (uint32_t)draw_below(&draw, work->encoder->vocabulary);
        const size_t used = 1 + draw_below(&draw, n), changed = draw_below(&draw, n);
        float *before = encode(work, ids, used);
        ids[changed] = (uint32_t)((ids[changed] + 1) % work->encoder->vocabulary);
        float *after = encode(work, ids, used);
        for (size_t t = 0; t < n; t++) {
            const bool differs =
                memcmp(before + t * row, after + t * row, row * sizeof(float)) != 0;
            CHECK(differs == (t == changed || (t > changed && changed < used)));
        }
        free(before);
        free(after);
    }
}

/* --- stopping ---------------------------------------------------------------------- */

static void test_stop(struct work *work)
{
    struct draw draw = {5};
    struct batch batch;
    struct err err = {0};
    uint32_t ids[MAX_TEXT] = {0};
    const size_t patch = work->info->patch, text = work->info->text_tokens;
    float *context = malloc(text * work->encoder->width * sizeof(*context));
    float *latent = draw_floats(&draw, 6 * work->info->latent_channels);
    float *pixels = malloc(6 * patch * patch * 3 * sizeof(*pixels));
    CHECK(context != NULL && pixels != NULL);
    const struct text_tokens tokens = {ids, text, 1};
    const struct latent finished = {latent, 2, 3};
    draw_batch(&batch, work, &draw, 20);
    for (int stops = 0; stops < 2; stops++) {
        const enum err_code expected = stops == 1 ? ERR_CANCELED : ERR_OK;
        atomic_store(&work->stop, stops == 1);
        CHECK(evaluate(work, &batch, batch.n, &err) == expected);
        CHECK(work->encoder->encode(work->encoder->self, &work->run, &tokens, context,
                                    &err) == expected);
        CHECK(work->autoencoder->decode(work->autoencoder->self, &work->run, &finished,
                                        pixels, &err) == expected);
        CHECK(arena_mark(&work->scratch) == 0);
    }
    atomic_store(&work->stop, false);
    free_batch(&batch);
    free(context);
    free(latent);
    free(pixels);
}

/* --- the largest picture, with all kernels -------------------------------------------
 */

/* A picture of as many pixels as the limit allows; new. */
static float *decode(struct work *work, size_t height, size_t width)
{
    struct draw draw = {6};
    struct err err;
    const size_t n = height * width, patch = work->info->patch;
    float *values = draw_floats(&draw, n * work->info->latent_channels);
    float *pixels = malloc(n * patch * patch * 3 * sizeof(*pixels));
    CHECK(pixels != NULL);
    const struct latent latent = {values, height, width};
    CHECK_OK(work->autoencoder->decode(work->autoencoder->self, &work->run, &latent,
                                       pixels, &err),
             err);
    CHECK(arena_mark(&work->scratch) == 0);
    for (size_t i = 0; i < n * patch * patch * 3; i++)
        CHECK(isfinite(pixels[i]));
    free(values);
    return pixels;
}

/* The three parts on the same input. */
static void expect_same(struct work *a, struct work *b)
{
    const size_t pixels = a->limits.max_pixels * 3 * sizeof(float);
    const size_t text = a->info->text_tokens * a->encoder->width * sizeof(float);
    uint32_t ids[MAX_TEXT];
    for (size_t t = 0; t < MAX_TEXT; t++)
        ids[t] = (uint32_t)(7 * t % 300);
    float *of_a = decode(a, 5, 6), *of_b = decode(b, 5, 6);
    CHECK(memcmp(of_a, of_b, pixels) == 0);
    free(of_a);
    free(of_b);
    of_a = encode(a, ids, 9);
    of_b = encode(b, ids, 9);
    CHECK(memcmp(of_a, of_b, text) == 0);
    free(of_a);
    free(of_b);

    struct draw draw_a = {7}, draw_b = {7};
    struct batch batch_a, batch_b;
    struct err err;
    draw_batch(&batch_a, a, &draw_a, 60);
    draw_batch(&batch_b, b, &draw_b, 60);
    CHECK_OK(evaluate(a, &batch_a, batch_a.n, &err), err);
    CHECK_OK(evaluate(b, &batch_b, batch_b.n, &err), err);
    for (size_t i = 0; i < batch_a.n; i++)
        CHECK(memcmp(batch_a.items[i].v, batch_b.items[i].v,
                     bytes_of(a, &batch_a.items[i])) == 0);
    free_batch(&batch_a);
    free_batch(&batch_b);
}

static void test_kernels_agree(const char *folder)
{
    struct work scalar, other;
    const struct kernels *table;
    bool runs;
    open_work(&scalar, folder, "scalar");
    for (size_t i = 0; (table = kernels_at(i, &runs)) != NULL; i++) {
        if (!runs || strcmp(table->name, "openblas") == 0)
            continue;
        open_work(&other, folder, table->name);
        expect_same(&scalar, &other);
        close_work(&other);
    }
    close_work(&scalar);
}

struct helper {
    struct team *team;
    atomic_bool leave;
    struct arena scratch;
    pthread_t thread;
};

static void *help(void *argument)
{
    struct helper *helper = argument;
    team_help(helper->team, &helper->leave, &helper->scratch);
    return NULL;
}

/* Whoever helps, the bytes are the same. */
static void test_helped(const char *folder)
{
    struct helper helpers[HELPERS];
    struct team team;
    struct work alone, helped;
    struct err err;
    open_work(&alone, folder, NULL);
    open_work(&helped, folder, NULL);
    team_init(&team);
    team_open(&team);
    helped.run.team = &team;
    for (size_t i = 0; i < HELPERS; i++) {
        helpers[i].team = &team;
        atomic_init(&helpers[i].leave, false);
        CHECK_OK(arena_init(&helpers[i].scratch, helped.scratch.size, &err), err);
        CHECK(pthread_create(&helpers[i].thread, NULL, help, &helpers[i]) == 0);
    }
    for (int i = 0; i < 5; i++)
        expect_same(&alone, &helped);
    team_close(&team);
    for (size_t i = 0; i < HELPERS; i++) {
        CHECK(pthread_join(helpers[i].thread, NULL) == 0);
        arena_finish(&helpers[i].scratch);
    }
    close_work(&alone);
    close_work(&helped);
}

int main(void)
{
    bundle_init();
    for (size_t i = 0; i < FOLDERS; i++) {
        struct work work;
        open_work(&work, folders[i], NULL);
        test_batches(&work);
        test_small_scratch(&work);
        test_wrong_input(&work);
        test_masks(&work);
        test_stop(&work);
        free(decode(&work, 1, 30));
        close_work(&work);
        test_kernels_agree(folders[i]);
        test_helped(folders[i]);
    }
    return 0;
}
