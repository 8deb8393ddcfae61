/*
 * simulated_machine - rounds without a network: how long they take on a machine that the
 * scheduler does not know, and what they leave in their jobs.
 *
 * Threads: one. Ownership: a model is the caller's.
 */
#ifndef SLUICE_TESTS_LIB_SIMULATED_MACHINE_H
#define SLUICE_TESTS_LIB_SIMULATED_MACHINE_H

#include "server/round.h"
#include "server/served_model.h"
#include "tests/check.h"

#include <string.h>

/* Seconds that rounds take. */
struct simulated_machine {
    double encode;                /* a prompt that is not cached */
    double step_fixed, step_unit; /* a round; an item, a token of image or text */
    double decode_unit;           /* a latent token */
    double noise;                 /* at most this share more or less */
    double hiccup;                /* of a hundred rounds, this many take 3 times */
};

static inline size_t simulated_text_tokens(const struct job *job)
{
    return bundle_info(job->model->round.bundle)->text_tokens;
}

/* Seconds of the round without noise. */
static inline double simulated_seconds(const struct simulated_machine *machine,
                                       const struct round *round)
{
    double seconds = round->work == BATCHER_STEP ? machine->step_fixed : 1e-4;
    for (size_t i = 0; i < round->n; i++) {
        const struct job *job = round->jobs[i];
        size_t latent = job_latent_tokens(job);
        if (round->work == BATCHER_STEP)
            seconds += machine->step_unit * (double)job->n_contexts *
                       (double)(latent + simulated_text_tokens(job));
        if (round->work == BATCHER_DECODE)
            seconds += machine->decode_unit * (double)latent;
        for (size_t k = 0; round->work == BATCHER_ENCODE && k < job->n_contexts; k++)
            seconds += job->contexts[k] == NULL ? machine->encode : 0.0;
    }
    return seconds;
}

static inline void simulated_encode(struct job *job)
{
    const struct bundle_info *info = bundle_info(job->model->round.bundle);
    const char *const prompts[JOB_CONTEXTS] = {job->request.prompt,
                                               job->request.negative_prompt};
    struct err err;
    for (size_t i = 0; i < JOB_CONTEXTS && i < job->n_contexts; i++) {
        if (job->contexts[i] != NULL)
            continue;
        CHECK_OK(context_create(&job->contexts[i], prompts[i], strlen(prompts[i]),
                                info->text_tokens, info->text_width, &err),
                 err);
        job->contexts[i]->tokens = job->contexts[i]->tokens_total = 1;
        memset(context_values(job->contexts[i]), 0,
               info->text_tokens * info->text_width * sizeof(float));
    }
    CHECK_OK(trajectory_create(&job->trajectory, &job->request.sampling, &info->scheduler,
                               info->patch, info->latent_channels, &err),
             err);
}

static inline void simulated_step(struct job *job)
{
    struct velocity_item items[TRAJECTORY_MAX_ITEMS];
    const struct condition *negative =
        job->n_contexts > 1 ? &job->contexts[1]->condition : NULL;
    size_t n =
        trajectory_want(job->trajectory, &job->contexts[0]->condition, negative, items);
    size_t channels = bundle_info(job->model->round.bundle)->latent_channels;
    CHECK(n == job->n_contexts);
    for (size_t i = 0; i < n; i++)
        memset(items[i].v, 0,
               items[i].height * items[i].width * channels * sizeof(float));
    trajectory_give(job->trajectory);
}

static inline void simulated_execute(struct round *round)
{
    for (size_t i = 0; i < round->n; i++) {
        struct job *job = round->jobs[i];
        if (round->work == BATCHER_ENCODE)
            simulated_encode(job);
        else if (round->work == BATCHER_STEP)
            simulated_step(job);
        else
            CHECK(buf_append(&job->png, "PNG", 3));
    }
}

static const struct simulated_machine simulated_quiet = {
    .encode = 0.03, .step_fixed = 0.01, .step_unit = 6e-4, .decode_unit = 6e-3};

/* A small model, of which only the sizes matter. */
static inline struct served_model *simulated_model(void)
{
    const struct options options = {.model =
                                        SLUICE_SOURCE_DIR "/tests/golden/two-taps/model",
                                    .kernels = "",
                                    .max_batch = 8,
                                    .max_round = 250,
                                    .max_steps = 100};
    struct served_model *model;
    struct err err;
    CHECK_OK(served_model_open(&model, &options, 2, NULL, &err), err);
    CHECK(model->rounds.jobs == 8 && model->rounds.seconds == 0.25);
    return model;
}

static inline void simulated_observe(struct cost_model *costs,
                                     enum batcher_work work,
                                     const struct cost_share *share,
                                     double seconds)
{
    const struct cost_round round = {.work = work, .shares = share, .n = 1};
    cost_model_observe(costs, &round, seconds);
}

/* As calibration leaves the model's costs: `factor` times what is true. */
static inline void simulated_calibrate(struct served_model *model,
                                       const struct simulated_machine *m,
                                       double factor)
{
    size_t text = bundle_info(model->round.bundle)->text_tokens;
    model->costs = (struct cost_model){0};
    for (size_t side = 1; side <= 4; side *= 2) {
        const struct cost_share encode = {text, 1}, decode = {side * side, 1};
        simulated_observe(&model->costs, BATCHER_ENCODE, &encode, factor * m->encode);
        simulated_observe(&model->costs, BATCHER_DECODE, &decode,
                          factor * m->decode_unit * (double)decode.size);
        for (size_t items = 1; items <= (side == 4 ? 8 : 1); items *= 2) {
            const struct cost_share step = {side * side + text, items};
            simulated_observe(&model->costs, BATCHER_STEP, &step,
                              factor * (m->step_fixed +
                                        m->step_unit * (double)(step.size * step.items)));
        }
    }
}

#endif
