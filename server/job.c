#include "server/job.h"

#include "sampler/guidance.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PNG_BYTES = 256 * 1024 * 1024 };

#define TO(state) (1u << JOB_##state)
static const struct {
    const char *name;
    unsigned next;
} states[JOB_STATE_COUNT] = {
    [JOB_QUEUED] = {"queued", TO(ENCODING) | TO(DONE) | TO(FAILED) | TO(CANCELED)},
    [JOB_ENCODING] = {"encoding", TO(STEPPING) | TO(FAILED) | TO(CANCELED)},
    [JOB_STEPPING] = {"stepping", TO(DECODING) | TO(FAILED) | TO(CANCELED)},
    [JOB_DECODING] = {"decoding", TO(DONE) | TO(FAILED) | TO(CANCELED)},
    [JOB_DONE] = {"done", 0},
    [JOB_FAILED] = {"failed", 0},
    [JOB_CANCELED] = {"canceled", 0},
};
#undef TO

enum err_code job_create(struct job **out,
                         struct request *request,
                         struct served_model *model,
                         struct err *err)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a request");
    job->request = *request;
    *request = (struct request){0};
    job->model = model == NULL ? NULL : served_model_hold(model);
    job->first = job;
    job->images = 1;
    job->max_steps = job->request.sampling.steps;
    job->min_steps = job->request.min_steps > 0 ? job->request.min_steps : job->max_steps;
    job->n_contexts = guidance_is_on(job->request.sampling.guidance) ? 2 : 1;
    buf_init(&job->png, MAX_PNG_BYTES);
    buf_init(&job->preview, MAX_PNG_BYTES);
    list_init(&job->followers);
    *out = job;
    return ERR_OK;
}

void job_destroy(struct job *job)
{
    if (job == NULL)
        return;
    trajectory_destroy(job->trajectory);
    request_finish(&job->request);
    served_model_release(job->model);
    buf_finish(&job->png);
    buf_finish(&job->preview);
    free(job);
}

void job_tell(struct job *job, enum job_event event)
{
    if (job->progress != NULL)
        job->progress(job, event, job->context);
}

void job_move(struct job *job, enum job_state to)
{
    if (!(states[job->state].next & (1u << to))) {
        (void)fprintf(stderr, "job: %s -> %s is not a move\n", states[job->state].name,
                      states[to].name);
        abort();
    }
    job->state = to;
}

bool job_is_over(const struct job *job)
{
    return states[job->state].next == 0;
}

size_t job_latent_tokens(const struct job *job)
{
    size_t patch = job->model->limits.patch;
    const struct sampling *sampling = &job->request.sampling;
    return sampling->width / patch * (sampling->height / patch);
}

const char *job_state_name(enum job_state state)
{
    return states[state].name;
}
