#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "server/commands.h"
#include "server/job.h"
#include "server/model_setup.h"
#include "server/output_file.h"
#include "server/round.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BAR_WIDTH = 32 };

static enum err_code
fill_text(char **out, size_t *bytes, const char *text, struct err *err)
{
    *out = strdup(text);
    *bytes = strlen(text);
    return *out != NULL ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for a prompt");
}

/* The options as a request, with the model's defaults, checked as the service checks. */
static enum err_code make_request(struct request *request,
                                  const struct options *options,
                                  const struct request_limits *limits,
                                  struct err *err)
{
    uint64_t seed = random_u32();
    struct sampling *sampling = &request->sampling;
    *sampling = limits->defaults;
    request->n = 1;
    request->seed_was_given = options->seed != NULL;
    if (options->seed != NULL && !text_to_unsigned(options->seed, 0, UINT32_MAX, &seed))
        return err_set(err, ERR_INVALID,
                       "--seed %s: expected an integer from 0 to 4294967295",
                       options->seed);
    sampling->seed = (uint32_t)seed;
    if (options->steps != 0)
        sampling->steps = (unsigned)options->steps;
    if (options->width != 0)
        sampling->width = (size_t)options->width;
    if (options->height != 0)
        sampling->height = (size_t)options->height;
    if (options->guidance > 0.0)
        sampling->guidance = options->guidance;
    if (!solver_from_name(options->solver, &sampling->solver))
        return err_set(err, ERR_INVALID,
                       "--solver %s: expected euler, midpoint, heun, ab2 or dpmpp_2m",
                       options->solver);

    enum err_code code =
        fill_text(&request->prompt, &request->prompt_bytes, options->prompt, err);
    if (code == ERR_OK)
        code = fill_text(&request->negative_prompt, &request->negative_prompt_bytes,
                         options->negative_prompt, err);
    struct problem problem = {0};
    if (code == ERR_OK && !request_check(request, limits, &problem))
        code = err_set(err, ERR_INVALID, "%s", problem.detail);
    return code;
}

/* On a terminal only: a bar that is drawn over itself. */
static void show_progress(const struct job *job, unsigned evaluations, uint64_t start)
{
    unsigned all = sampling_evaluations(&job->request.sampling);
    unsigned filled = evaluations * BAR_WIDTH / all;
    double seconds = (double)(clock_now() - start) / 1e9;
    double left = evaluations > 0 ? seconds / evaluations * (all - evaluations) : 0.0;
    if (isatty(STDERR_FILENO) == 0)
        return;
    (void)fprintf(stderr, "\r[");
    for (unsigned i = 0; i < BAR_WIDTH; i++)
        (void)fputc(i < filled ? '#' : '.', stderr);
    (void)fprintf(stderr, "] %u/%u evaluations, %.1f s left ", evaluations, all, left);
    if (evaluations == all)
        (void)fputc('\n', stderr);
}

static enum err_code do_round(struct round *round,
                              enum batcher_work work,
                              struct arena *scratch,
                              struct err *err)
{
    round->work = work;
    round_execute(round, scratch);
    return round->code == ERR_OK ? ERR_OK
                                 : err_set(err, round->code, "%s", round->err.message);
}

/* The rounds that the engine would give to this job, one after the other. */
static enum err_code do_all_rounds(struct job *job,
                                   const struct round_setting *setting,
                                   struct arena *scratch,
                                   struct err *err)
{
    struct round round = {.setting = setting, .n = 1, .jobs = {job}};
    team_init(&round.team);
    enum err_code code = do_round(&round, BATCHER_ENCODE, scratch, err);
    if (code == ERR_OK && job->contexts[0]->tokens_total > job->contexts[0]->tokens)
        (void)fprintf(stderr, "the prompt has %zu tokens and is cut to %zu\n",
                      job->contexts[0]->tokens_total, job->contexts[0]->tokens);
    uint64_t start = clock_now();
    while (code == ERR_OK &&
           trajectory_steps_done(job->trajectory) < job->request.sampling.steps) {
        show_progress(job, trajectory_evaluations_done(job->trajectory), start);
        code = do_round(&round, BATCHER_STEP, scratch, err);
    }
    if (code != ERR_OK)
        return code;
    unsigned evaluations = trajectory_evaluations_done(job->trajectory);
    show_progress(job, evaluations, start);
    job->facts.stepping = clock_now() - start;
    job->facts.evaluations = evaluations;
    return do_round(&round, BATCHER_DECODE, scratch, err);
}

static enum err_code
generate(struct model_setup *setup, const struct options *options, struct err *err)
{
    struct request request = {0};
    struct arena scratch = {0};
    struct job *job = NULL;
    struct round_setting setting = {setup->bundle, SLUICE_VERSION, options->png_text,
                                    setup->plan.scratch};
    struct request_limits limits = model_setup_limits(setup, options);
    enum err_code code = make_request(&request, options, &limits, err);
    if (code == ERR_OK)
        code = output_file_write(options->output, NULL, err);
    if (code == ERR_OK)
        code = model_setup_load(setup, err);
    if (code == ERR_OK)
        code = arena_init(&scratch, setup->plan.scratch, err);
    if (code == ERR_OK)
        code = job_create(&job, &request, NULL, err);
    if (code == ERR_OK)
        code = do_all_rounds(job, &setting, &scratch, err);
    if (code == ERR_OK)
        code = output_file_write(options->output, &job->png, err);
    if (code == ERR_OK) {
        const struct sampling *sampling = &job->request.sampling;
        (void)fprintf(stderr, "%s: %zux%zu, seed %lu, %u steps, %.1f ms an evaluation\n",
                      options->output, sampling->width, sampling->height,
                      (unsigned long)sampling->seed, sampling->steps,
                      clock_milliseconds(job->facts.stepping) / job->facts.evaluations);
    }
    for (size_t i = 0; job != NULL && i < JOB_CONTEXTS; i++)
        context_release(job->contexts[i]);
    job_destroy(job);
    request_finish(&request);
    arena_finish(&scratch);
    return code;
}

int generate_run(const struct options *options)
{
    return model_setup_run_alone(options, generate);
}
