#include "sampler/trajectory.h"

#include "base/size.h"
#include "sampler/guidance.h"
#include "sampler/noise.h"
#include "sampler/schedule.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

struct trajectory {
    struct solver *solver;
    size_t height, width, channels; /* of the latent grid, in tokens */
    double guidance;
    size_t items; /* velocities that one want takes: 2 under guidance */
    unsigned evaluations;
    float *velocities; /* [items, height * width * channels] */
    float memory[];
};

static size_t value_count(const struct trajectory *trajectory)
{
    return trajectory->height * trajectory->width * trajectory->channels;
}

/* Uninitialised floats behind a header of `size` bytes, or NULL. */
static void *allocate(size_t size, size_t floats)
{
    const size_t bytes = size_add(size, size_multiply(floats, sizeof(float)));
    return bytes == SIZE_MAX ? NULL : malloc(bytes);
}

/* [channels, tokens] -> [tokens, channels] (_pack_latents of diffusers' klein
 * pipeline), scaled. */
static void
to_tokens(const float *planes, float scale, float *rows, size_t tokens, size_t channels)
{
    for (size_t token = 0; token < tokens; token++)
        for (size_t channel = 0; channel < channels; channel++)
            rows[token * channels + channel] = scale * planes[channel * tokens + token];
}

/* The times and the noise are only needed until the solver has copied them. */
static enum err_code start_solver(struct trajectory *trajectory,
                                  const struct sampling *sampling,
                                  const struct scheduler_config *scheduler,
                                  struct err *err)
{
    const size_t tokens = trajectory->height * trajectory->width;
    const size_t n = value_count(trajectory);
    const unsigned steps = sampling->steps;
    float *times = allocate(0, size_add(size_add(steps, 1), n));
    if (times == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the noise of %zu values", n);
    float *start = times + steps + 1;

    schedule_times(scheduler, steps, tokens, times);
    noise_fill(sampling->seed, trajectory->velocities, n);
    to_tokens(trajectory->velocities, schedule_noise_scale(scheduler, times[0]), start,
              tokens, trajectory->channels);
    const enum err_code code =
        solver_create(&trajectory->solver, sampling->solver,
                      &(struct solver_grid){times, steps}, start, n, err);
    free(times);
    return code;
}

static enum err_code check_sampling(const struct sampling *sampling,
                                    const struct scheduler_config *scheduler,
                                    size_t patch,
                                    struct err *err)
{
    const size_t width = sampling->width, height = sampling->height;
    if (sampling->steps == 0)
        return err_set(err, ERR_INVALID, "an image needs at least one step");
    if (scheduler->is_diffusion && sampling->steps > DIFFUSION_TRAINING_TIMES)
        return err_set(err, ERR_INVALID,
                       "%u steps: the model was trained at %d times and takes no more "
                       "steps than that",
                       sampling->steps, DIFFUSION_TRAINING_TIMES);
    if (width == 0 || height == 0 || width % patch != 0 || height % patch != 0)
        return err_set(
            err, ERR_INVALID,
            "width and height must be positive multiples of %zu, not %zu and %zu", patch,
            width, height);
    return ERR_OK;
}

enum err_code trajectory_create(struct trajectory **out,
                                const struct sampling *sampling,
                                const struct scheduler_config *scheduler,
                                size_t patch,
                                size_t channels,
                                struct err *err)
{
    assert(patch > 0 && channels > 0);
    enum err_code code = check_sampling(sampling, scheduler, patch, err);
    if (code != ERR_OK)
        return code;

    const size_t height = sampling->height / patch, width = sampling->width / patch;
    const size_t items = guidance_is_on(sampling->guidance) ? 2 : 1;
    const size_t n = size_multiply(size_multiply(height, width), channels);
    struct trajectory *trajectory =
        allocate(sizeof(*trajectory), size_multiply(items, n));
    if (trajectory == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for an image of %zu x %zu pixels",
                       sampling->width, sampling->height);
    *trajectory = (struct trajectory){.height = height,
                                      .width = width,
                                      .channels = channels,
                                      .guidance = sampling->guidance,
                                      .items = items,
                                      .velocities = trajectory->memory};
    code = start_solver(trajectory, sampling, scheduler, err);
    if (code != ERR_OK) {
        trajectory_destroy(trajectory);
        return code;
    }
    *out = trajectory;
    return ERR_OK;
}

void trajectory_destroy(struct trajectory *trajectory)
{
    if (trajectory == NULL)
        return;
    solver_destroy(trajectory->solver);
    free(trajectory);
}

size_t trajectory_want(const struct trajectory *trajectory,
                       const struct condition *prompt,
                       const struct condition *negative,
                       struct velocity_item items[TRAJECTORY_MAX_ITEMS])
{
    const struct condition *conditions[TRAJECTORY_MAX_ITEMS] = {prompt, negative};
    const float *x;
    float t;
    if (!solver_want(trajectory->solver, &x, &t))
        return 0;
    assert(negative != NULL || trajectory->items == 1);
    for (size_t i = 0; i < trajectory->items; i++)
        items[i] = (struct velocity_item){
            .height = trajectory->height,
            .width = trajectory->width,
            .t = t,
            .x = x,
            .condition = conditions[i],
            .v = trajectory->velocities + i * value_count(trajectory),
        };
    return trajectory->items;
}

void trajectory_give(struct trajectory *trajectory)
{
    const size_t n = value_count(trajectory);
    float *prompt = trajectory->velocities;
    if (trajectory->items > 1)
        guidance_combine(trajectory->guidance, prompt, prompt + n, n);
    solver_give(trajectory->solver, prompt);
    trajectory->evaluations += (unsigned)trajectory->items;
}

unsigned trajectory_steps_done(const struct trajectory *trajectory)
{
    return solver_steps_done(trajectory->solver);
}

unsigned trajectory_evaluations_done(const struct trajectory *trajectory)
{
    return trajectory->evaluations;
}

void trajectory_preview(const struct trajectory *trajectory, float *preview)
{
    const float *x;
    float t;
    if (!solver_want(trajectory->solver, &x, &t))
        return;
    for (size_t i = 0; i < value_count(trajectory); i++)
        preview[i] = x[i] - t * trajectory->velocities[i];
}

const float *trajectory_latent(const struct trajectory *trajectory)
{
    return solver_state(trajectory->solver);
}
