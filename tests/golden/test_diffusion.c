/* Diffusion models against DDIMScheduler (diffusion_cases.py): the configuration is read
 * as a checkpoint's, its times are the scheduler's, and a network behind the decorator,
 * stepped by euler as a flow, draws what DDIM draws. */
#include "model/diffusion.h"
#include "model/scheduler_config.h"
#include "sampler/schedule.h"
#include "sampler/trajectory.h"
#include "tests/check.h"
#include "tests/lib/folder.h"

#include <math.h>
#include <string.h>

enum { MAX_STEPS = 64, MAX_VALUES = 64, PATCH = 8 };

struct test_case {
    char prediction[32], schedule[32], spacing[32];
    double start, end;
    unsigned offset, zero_end, steps, seed;
    size_t channels, height, width;
    unsigned training_times[MAX_STEPS];
};

static bool read_case(FILE *file, struct test_case *it)
{
    const int fields = fscanf(file, "%31s %31s %lf %lf %31s %u %u %u %u %zu %zu %zu",
                              it->prediction, it->schedule, &it->start, &it->end,
                              it->spacing, &it->offset, &it->zero_end, &it->steps,
                              &it->seed, &it->channels, &it->height, &it->width);
    if (fields == EOF)
        return false;
    CHECK(fields == 12 && it->steps <= MAX_STEPS);
    CHECK(it->channels * it->height * it->width <= MAX_VALUES);
    for (unsigned i = 0; i < it->steps; i++)
        CHECK(fscanf(file, "%u", &it->training_times[i]) == 1);
    return true;
}

/* As a checkpoint has it. */
static struct scheduler_config configure(const struct test_case *it)
{
    char folder[FOLDER_PATH_SIZE], json[1024];
    struct scheduler_config config;
    struct err err;
    (void)snprintf(json, sizeof(json),
                   "{\"_class_name\": \"DDIMScheduler\", \"prediction_type\": \"%s\", "
                   "\"beta_schedule\": \"%s\", \"beta_start\": %.17g, \"beta_end\": "
                   "%.17g, \"timestep_spacing\": \"%s\", \"steps_offset\": %u, "
                   "\"rescale_betas_zero_snr\": %s, \"clip_sample\": false}",
                   it->prediction, it->schedule, it->start, it->end, it->spacing,
                   it->offset, it->zero_end ? "true" : "false");
    folder_create(folder);
    folder_write_text(folder, "scheduler_config.json", json);
    CHECK_OK(scheduler_config_read(&config, folder, &err), err);
    folder_remove(folder);
    CHECK(config.is_diffusion);
    return config;
}

/* How much of the image is left, and the network's own time, at every step. */
static void
check_times(FILE *file, const struct test_case *it, const struct scheduler_config *config)
{
    float times[MAX_STEPS + 1];
    schedule_times(config, it->steps, it->height * it->width, times);
    for (unsigned i = 0; i < it->steps; i++) {
        double alpha;
        CHECK(fscanf(file, "%lf", &alpha) == 1);
        const double t = (double)times[i], a = (1.0 - t) / hypot(t, 1.0 - t);
        CHECK(fabs(a - sqrt(alpha)) <= 1e-6);
        CHECK(fabs(a - sqrt(alpha)) <= 1e-3 * sqrt(alpha));
        const double k = 1000 * diffusion_schedule_network_time(&config->diffusion, t);
        CHECK(fabs(k - it->training_times[i]) <= 0.01);
    }
    CHECK(times[it->steps] >= 0.0f && times[it->steps] <= 0.0f);
}

static enum err_code answer(const void *self,
                            const struct run *run,
                            const struct velocity_item *items,
                            size_t n,
                            struct err *err)
{
    const size_t channels = *(const size_t *)self;
    (void)run;
    (void)err;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < items[i].height * items[i].width * channels; k++)
            items[i].v[k] = (0.5f + 0.4f * items[i].t) * tanhf(items[i].x[k]) + 0.1f;
    return ERR_OK;
}

static size_t no_scratch(const void *self, const struct velocity_load *load)
{
    (void)self;
    (void)load;
    return 0;
}

static struct trajectory *walk(const struct test_case *it,
                               const struct scheduler_config *config)
{
    const struct diffusion diffusion = {
        .network = {.self = &it->channels,
                    .channels = it->channels,
                    .eval = answer,
                    .scratch = no_scratch},
        .schedule = &config->diffusion,
    };
    const struct velocity velocity = diffusion_velocity(&diffusion);
    const size_t tokens = it->height * it->width;
    const struct velocity_load load = {1, tokens, tokens, 0};
    const struct sampling sampling = {.seed = it->seed,
                                      .steps = it->steps,
                                      .width = it->width * PATCH,
                                      .height = it->height * PATCH,
                                      .guidance = 1.0,
                                      .solver = SOLVER_EULER};
    const struct condition condition = {0};
    struct velocity_item item[TRAJECTORY_MAX_ITEMS];
    struct trajectory *trajectory;
    struct arena scratch;
    struct err err;
    CHECK_OK(arena_init(&scratch, velocity.scratch(velocity.self, &load), &err), err);
    const struct run run = {.scratch = &scratch};
    CHECK_OK(trajectory_create(&trajectory, &sampling, config, PATCH, it->channels, &err),
             err);
    while (trajectory_want(trajectory, &condition, NULL, item) > 0) {
        CHECK_OK(velocity.eval(velocity.self, &run, item, 1, &err), err);
        trajectory_give(trajectory);
    }
    arena_finish(&scratch);
    return trajectory;
}

static void
check_image(FILE *file, const struct test_case *it, const struct scheduler_config *config)
{
    struct trajectory *trajectory = walk(it, config);
    const float *found = trajectory_latent(trajectory);
    double most = 0.0, worst = 0.0;
    for (size_t k = 0; k < it->channels * it->height * it->width; k++) {
        double expected;
        CHECK(fscanf(file, "%lf", &expected) == 1);
        most = fmax(most, fabs(expected));
        worst = fmax(worst, fabs((double)found[k] - expected));
    }
    (void)fprintf(stderr, "  %s %s %s, %u steps: %.1e of the largest\n", it->prediction,
                  it->schedule, it->spacing, it->steps, worst / most);
    CHECK(worst <= 1e-5 * most);
    trajectory_destroy(trajectory);
}

static void test_cases(void)
{
    FILE *file = fopen(SLUICE_SOURCE_DIR "/tests/golden/diffusion/cases.txt", "r");
    struct test_case it;
    unsigned images = 0, cases = 0;
    CHECK(file != NULL);
    for (; read_case(file, &it); cases++) {
        const struct scheduler_config config = configure(&it);
        check_times(file, &it, &config);
        if (it.seed == 0)
            continue;
        check_image(file, &it, &config);
        images++;
    }
    (void)fclose(file);
    CHECK(cases == 14 && images == 10);
}

/* For any number of steps, and never more than there are training times. */
static void test_times_fall(void)
{
    static const char *const spacings[] = {"leading", "linspace", "trailing"};
    static const char *const schedules[] = {"linear", "scaled_linear",
                                            "squaredcos_cap_v2"};
    static float times[DIFFUSION_TRAINING_TIMES + 1];
    for (size_t i = 0; i < 9; i++) {
        struct test_case it = {
            .prediction = "v_prediction", .start = 0.00085, .end = 0.012, .offset = 1};
        (void)snprintf(it.spacing, sizeof(it.spacing), "%s", spacings[i % 3]);
        (void)snprintf(it.schedule, sizeof(it.schedule), "%s", schedules[i / 3]);
        const struct scheduler_config config = configure(&it);
        for (unsigned steps = 1; steps <= DIFFUSION_TRAINING_TIMES; steps++) {
            schedule_times(&config, steps, 64, times);
            for (unsigned k = 0; k < steps; k++)
                CHECK(times[k] > times[k + 1] && times[k] <= 1.0f);
        }
        schedule_times(&config, 1, 64, times);
        CHECK(fabs(config.diffusion.times[DIFFUSION_TRAINING_TIMES - 1] -
                   (double)times[0]) <= 1e-6);
        struct err err;
        struct trajectory *trajectory = NULL;
        const struct sampling sampling = {.steps = DIFFUSION_TRAINING_TIMES + 1,
                                          .width = PATCH,
                                          .height = PATCH,
                                          .guidance = 1.0};
        CHECK(trajectory_create(&trajectory, &sampling, &config, PATCH, 1, &err) ==
              ERR_INVALID);
        CHECK(strstr(err.message, "1001 steps") != NULL);
    }
}

int main(void)
{
    test_cases();
    test_times_fall();
    return 0;
}
