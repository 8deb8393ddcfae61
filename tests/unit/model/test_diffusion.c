/* A checkpoint whose scheduler_config.json says diffusion: what is refused, and that its
 * velocity is its network's prediction, asked on the network's own scale and time. That
 * this draws what DDIM draws is tests/golden/test_diffusion.c's. */
#include "model/bundle.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/model_folder.h"

#include <math.h>
#include <string.h>

#define MODEL SLUICE_SOURCE_DIR "/tests/golden/f32/model"

enum { HEIGHT = 3, WIDTH = 2, CHANNELS = 12, VALUES = HEIGHT * WIDTH * CHANNELS, N = 3 };

static const char scheduler_file[] = "scheduler/scheduler_config.json";

/* A copy of the model with another scheduler. */
static void create_folder(char folder[FOLDER_PATH_SIZE], const char *json)
{
    model_folder_create(folder, MODEL);
    folder_write_text(folder, scheduler_file, json);
}

/* Of the index, which names the class too. */
static void name_scheduler(const char *folder, const char *class_name)
{
    model_folder_replace(folder, "model_index.json", "FlowMatchEulerDiscreteScheduler",
                         class_name);
}

static enum err_code
open_folder(struct bundle **bundle, const char *folder, struct err *err)
{
    const struct kernels *kernels;
    CHECK_OK(kernels_choose(&kernels, NULL, err), *err);
    return bundle_open(bundle, folder, kernels, err);
}

static void test_refusals(void)
{
    static const struct {
        const char *json, *part;
    } bad[] = {
        {"{\"_class_name\": \"PNDMScheduler\"}",
         "_class_name is PNDMScheduler, expected FlowMatchEulerDiscreteScheduler, "
         "DDIMScheduler or DDPMScheduler"},
        {"{}", "_class_name is missing"},
        {"{\"_class_name\": \"DDIMScheduler\"}",
         "clip_sample: only false is supported (absent means true)"},
        {"{\"_class_name\": \"DDIMScheduler\", \"clip_sample\": false, "
         "\"thresholding\": true}",
         "thresholding: only false"},
        {"{\"_class_name\": \"DDPMScheduler\", \"clip_sample\": false, "
         "\"trained_betas\": [0.1]}",
         "trained_betas: only null"},
        {"{\"_class_name\": \"DDPMScheduler\", \"clip_sample\": false, "
         "\"prediction_type\": \"flow\"}",
         "prediction_type is \"flow\", expected epsilon, v_prediction or sample"},
        {"{\"_class_name\": \"DDPMScheduler\", \"clip_sample\": false, "
         "\"beta_schedule\": \"sigmoid\"}",
         "beta_schedule is \"sigmoid\", expected linear, scaled_linear or"},
        {"{\"_class_name\": \"DDPMScheduler\", \"clip_sample\": false, "
         "\"timestep_spacing\": \"even\"}",
         "timestep_spacing is \"even\", expected leading, linspace or trailing"},
        {"{\"_class_name\": \"DDPMScheduler\", \"clip_sample\": false, "
         "\"beta_end\": 1.5}",
         "beta_end: expected a number"},
        {"{\"_class_name\": \"DDPMScheduler\", \"clip_sample\": false, "
         "\"beta_start\": 0.5, \"beta_end\": 0.5}",
         "expected more noise at training time"},
        {"{\"_class_name\": \"DDIMScheduler\", \"clip_sample\": false, "
         "\"rescale_betas_zero_snr\": true}",
         "rescale_betas_zero_snr: nothing of an image is left"},
        {"{\"_class_name\": \"DDIMScheduler\", \"clip_sample\": false, "
         "\"set_alpha_to_one\": false}",
         "set_alpha_to_one: only true is supported: the last step leads to the image "
         "itself (absent means true)"},
        {"{\"_class_name\": \"DDIMScheduler\", \"clip_sample\": false, "
         "\"num_train_timesteps\": 4000}",
         "num_train_timesteps: only 1000"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char folder[FOLDER_PATH_SIZE];
        struct bundle *bundle = NULL;
        struct err err = {0};
        create_folder(folder, bad[i].json);
        CHECK(open_folder(&bundle, folder, &err) == ERR_FORMAT);
        if (strstr(err.message, bad[i].part) == NULL ||
            strstr(err.message, scheduler_file) == NULL) {
            (void)fprintf(stderr, "'%s', expected '%s'\n", err.message, bad[i].part);
            exit(1);
        }
        folder_remove(folder);
    }
}

/* DDPMScheduler does not read it, and may keep it from a file of the other's. */
static void test_left_over(void)
{
    char folder[FOLDER_PATH_SIZE];
    struct bundle *bundle = NULL;
    struct err err;
    create_folder(folder, "{\"_class_name\": \"DDPMScheduler\", \"clip_sample\": false, "
                          "\"set_alpha_to_one\": false}");
    name_scheduler(folder, "DDPMScheduler");
    CHECK_OK(open_folder(&bundle, folder, &err), err);
    bundle_destroy(bundle);
    folder_remove(folder);
}

static struct bundle *load(const char *folder)
{
    struct bundle *bundle = NULL;
    struct err err;
    CHECK_OK(open_folder(&bundle, folder, &err), err);
    CHECK_OK(bundle_load(bundle, &err), err);
    return bundle;
}

/* Items of one size, at the given times. */
struct batch {
    struct condition condition;
    struct velocity_item items[N];
    float *context, *x[N];
};

static void
draw_batch(struct batch *batch, const struct bundle *bundle, const float times[N])
{
    const struct bundle_info *info = bundle_info(bundle);
    struct draw draw = {7};
    CHECK(info->latent_channels == CHANNELS);
    batch->context = draw_floats(&draw, info->text_tokens * info->text_width);
    batch->condition =
        (struct condition){info->text_tokens, info->text_width, batch->context};
    for (size_t i = 0; i < N; i++) {
        batch->x[i] = draw_floats(&draw, VALUES);
        batch->items[i] = (struct velocity_item){.height = HEIGHT,
                                                 .width = WIDTH,
                                                 .t = times[i],
                                                 .x = batch->x[i],
                                                 .condition = &batch->condition,
                                                 .v = draw_floats(&draw, VALUES)};
    }
}

static void free_batch(struct batch *batch)
{
    for (size_t i = 0; i < N; i++) {
        free(batch->x[i]);
        free(batch->items[i].v);
    }
    free(batch->context);
}

/* With exactly the scratch that it asks for, and with less. */
static void
evaluate(const struct bundle *bundle, const struct velocity_item *items, size_t n)
{
    const struct velocity *velocity = bundle_velocity(bundle);
    const struct velocity_load size = {n, HEIGHT * WIDTH, n * HEIGHT * WIDTH,
                                       bundle_info(bundle)->text_tokens};
    struct arena scratch;
    struct err err = {0};
    CHECK_OK(arena_init(&scratch, velocity->scratch(velocity->self, &size), &err), err);
    const struct run run = {.scratch = &scratch};
    const size_t whole = scratch.size;
    scratch.size = 256;
    CHECK(velocity->eval(velocity->self, &run, items, n, &err) == ERR_NO_MEMORY);
    scratch.size = whole;
    CHECK_OK(velocity->eval(velocity->self, &run, items, n, &err), err);
    CHECK(arena_mark(&scratch) == 0);
    arena_finish(&scratch);
}

/* The flow of the same weights answers what the network predicts. */
static void ask_network(struct velocity_item *item, double network_time, double radius)
{
    struct bundle *flow = load(MODEL);
    float *z = malloc(VALUES * sizeof(*z));
    CHECK(z != NULL);
    for (size_t k = 0; k < VALUES; k++)
        z[k] = (float)((double)item->x[k] / radius);
    item->x = z;
    item->t = (float)network_time;
    evaluate(flow, item, 1);
    item->x = NULL;
    free(z);
    bundle_destroy(flow);
}

/* noise - image, by what each prediction says of both (Salimans and Ho 2022, section 4).
 */
static double velocity_of(const char *prediction, double t, double x, double o)
{
    const double r = hypot(t, 1.0 - t), a = (1.0 - t) / r, s = t / r, z = x / r;
    double noise = o, image = o;
    if (strcmp(prediction, "epsilon") == 0) {
        image = (z - s * noise) / a;
    } else if (strcmp(prediction, "sample") == 0) {
        noise = (z - a * image) / s;
    } else {
        image = a * z - s * o;
        noise = s * z + a * o;
    }
    return noise - image;
}

static void check_prediction(const char *prediction)
{
    /* On a training time of the linear schedule, between two, and beyond the last. */
    static const float times[N] = {0.25f, 0.6f, 0.998f};
    char folder[FOLDER_PATH_SIZE], json[256];
    struct batch batch;
    (void)snprintf(json, sizeof(json),
                   "{\"_class_name\": \"DDPMScheduler\", \"clip_sample\": false, "
                   "\"prediction_type\": \"%s\"}",
                   prediction);
    create_folder(folder, json);
    name_scheduler(folder, "DDPMScheduler");
    struct bundle *bundle = load(folder);
    const struct diffusion_schedule *schedule = &bundle_info(bundle)->scheduler.diffusion;
    draw_batch(&batch, bundle, times);
    evaluate(bundle, batch.items, N);
    for (size_t i = 0; i < N; i++) {
        float alone[VALUES], predicted[VALUES];
        const double t = (double)times[i];
        struct velocity_item item = batch.items[i];
        item.v = alone;
        evaluate(bundle, &item, 1);
        CHECK(memcmp(alone, batch.items[i].v, sizeof(alone)) == 0);
        item.v = predicted;
        ask_network(&item, diffusion_schedule_network_time(schedule, t),
                    hypot(t, 1.0 - t));
        double worst = 0.0, most = 0.0;
        for (size_t k = 0; k < VALUES; k++) {
            const double expected = velocity_of(
                prediction, t, (double)batch.items[i].x[k], (double)predicted[k]);
            most = fmax(most, fabs(expected));
            worst = fmax(worst, fabs(expected - (double)alone[k]));
        }
        CHECK(worst <= 2e-5 * most);
    }
    free_batch(&batch);
    bundle_destroy(bundle);
    folder_remove(folder);
}

int main(void)
{
    bundle_init();
    test_refusals();
    test_left_over();
    check_prediction("epsilon");
    check_prediction("v_prediction");
    check_prediction("sample");
    return 0;
}
