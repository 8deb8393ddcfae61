#include "server/served_model.h"

#include "base/text.h"
#include "server/calibration.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A folder without a curve is the usual case. */
static void read_curve(struct served_model *model, const char *folder)
{
    enum { MAX_CURVE = 256 * 1024 };
    char path[4096];
    size_t length;
    int n = snprintf(path, sizeof(path), "%s/curve.json", folder);
    if (n < 0 || (size_t)n >= sizeof(path) ||
        text_read_file(&model->curve, &length, path, MAX_CURVE, NULL) != ERR_OK)
        model->curve = NULL;
}

enum err_code served_model_open(struct served_model **out,
                                const struct options *options,
                                size_t workers,
                                const struct memory_plan *before,
                                struct err *err)
{
    struct served_model *model = calloc(1, sizeof(*model));
    if (model == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a model");
    atomic_init(&model->holds, 1);
    enum err_code code = model_setup_open(&model->setup, options, workers, err);
    if (code == ERR_OK && before != NULL)
        memory_plan_follow(&model->setup.plan, before);
    if (code == ERR_OK)
        code = model_setup_load(&model->setup, err);
    if (code == ERR_OK)
        code = calibrate(&model->costs, &model->setup, err);
    if (code != ERR_OK) {
        served_model_release(model);
        return code;
    }
    model->limits = model_setup_limits(&model->setup, options);
    model->round = (struct round_setting){
        .bundle = model->setup.bundle,
        .version = SLUICE_VERSION,
        .png_text = options->png_text,
        .scratch = model->setup.plan.scratch,
    };
    model->rounds = (struct batcher_limits){
        .jobs = options->max_batch,
        .items = model->setup.plan.limits.round_items,
        .tokens = model->setup.plan.limits.round_tokens,
        .seconds = (double)options->max_round / 1e3,
    };
    read_curve(model, options->model);
    model->opened = (int64_t)time(NULL);
    *out = model;
    return ERR_OK;
}

struct served_model *served_model_hold(struct served_model *model)
{
    atomic_fetch_add(&model->holds, 1);
    return model;
}

void served_model_release(struct served_model *model)
{
    if (model == NULL || atomic_fetch_sub(&model->holds, 1) != 1)
        return;
    model_setup_finish(&model->setup);
    free(model->curve);
    free(model);
}

bool served_model_has_one_holder(const struct served_model *model)
{
    return atomic_load(&model->holds) == 1;
}

void model_shelf_init(struct model_shelf *shelf, struct served_model *model)
{
    (void)pthread_mutex_init(&shelf->lock, NULL);
    shelf->model = model;
}

void model_shelf_finish(struct model_shelf *shelf)
{
    served_model_release(shelf->model);
    (void)pthread_mutex_destroy(&shelf->lock);
}

struct served_model *model_shelf_take(struct model_shelf *shelf)
{
    (void)pthread_mutex_lock(&shelf->lock);
    struct served_model *model = served_model_hold(shelf->model);
    (void)pthread_mutex_unlock(&shelf->lock);
    return model;
}

void model_shelf_put(struct model_shelf *shelf, struct served_model *model)
{
    (void)pthread_mutex_lock(&shelf->lock);
    struct served_model *before = shelf->model;
    shelf->model = model;
    (void)pthread_mutex_unlock(&shelf->lock);
    served_model_release(before);
}
