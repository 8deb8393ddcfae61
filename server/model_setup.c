#include "server/model_setup.h"

#include "base/size.h"
#include "server/machine.h"

#include <stdio.h>

enum err_code model_setup_open(struct model_setup *setup,
                               const struct options *options,
                               size_t workers,
                               struct err *err)
{
    *setup = (struct model_setup){0};
    const struct kernels *kernels = NULL;
    enum err_code code = kernels_choose(&kernels, options->kernels, err);
    if (code == ERR_OK)
        code = bundle_open(&setup->bundle, options->model, kernels, err);
    if (code != ERR_OK)
        return code;
    setup->memory_limit =
        options->memory_limit != 0 ? options->memory_limit : machine_memory_limit();
    setup->plan =
        memory_plan_make(setup->bundle, workers != 0 ? workers : machine_processors(),
                         options->max_batch, options->max_pixels, options->context_cache);
    size_t patch = bundle_info(setup->bundle)->patch;
    size_t most = setup->plan.limits.max_pixels;
    if (most < patch * patch)
        return err_set(err, ERR_INVALID,
                       "--max-pixels leaves pictures of at most %zu pixels; the model's "
                       "smallest has %zux%zu",
                       most, patch, patch);
    return ERR_OK;
}

enum err_code model_setup_load(struct model_setup *setup, struct err *err)
{
    enum err_code code = memory_plan_check(&setup->plan, setup->memory_limit, err);
    return code == ERR_OK ? bundle_load(setup->bundle, err) : code;
}

void model_setup_finish(struct model_setup *setup)
{
    bundle_destroy(setup->bundle);
    *setup = (struct model_setup){0};
}

int model_setup_run_alone(const struct options *options,
                          enum err_code (*work)(struct model_setup *setup,
                                                const struct options *alone,
                                                struct err *err))
{
    struct model_setup setup;
    struct err err;
    struct options alone = *options;
    alone.max_batch = 1;
    alone.context_cache = 0;
    enum err_code code = model_setup_open(&setup, &alone, 1, &err);
    if (code == ERR_OK)
        code = work(&setup, &alone, &err);
    if (code != ERR_OK)
        (void)fprintf(stderr, "sluice: %s\n", err.message);
    model_setup_finish(&setup);
    return code == ERR_OK ? 0 : 1;
}

void model_setup_usual_size(const struct model_setup *setup,
                            size_t *width,
                            size_t *height)
{
    const struct bundle_info *info = bundle_info(setup->bundle);
    size_t patch = info->patch, most = setup->plan.limits.max_pixels / (patch * patch);
    size_t rows = info->height / patch, columns = info->width / patch;
    while (size_multiply(rows, columns) > most) {
        rows = (rows + 1) / 2;
        columns = (columns + 1) / 2;
    }
    *height = rows * patch;
    *width = columns * patch;
}

struct request_limits model_setup_limits(const struct model_setup *setup,
                                         const struct options *options)
{
    const struct bundle_info *info = bundle_info(setup->bundle);
    size_t width, height;
    model_setup_usual_size(setup, &width, &height);
    return (struct request_limits){
        .max_steps = (unsigned)options->max_steps,
        .max_pixels = setup->plan.limits.max_pixels,
        .patch = info->patch,
        .scheduler = &info->scheduler,
        .is_distilled = info->is_distilled,
        .defaults =
            {
                .steps = (unsigned)size_min(info->steps, options->max_steps),
                .width = width,
                .height = height,
                .guidance = info->guidance,
                .solver = SOLVER_EULER,
            },
    };
}
