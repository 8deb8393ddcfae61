#include "server/forecast.h"

#include "base/size.h"

/* Text tokens that an encode of the job has to compute: contexts that the cache does not
 * have, before the round or made by it. */
static size_t fresh_tokens(const struct job *job)
{
    size_t tokens = bundle_info(job->model->round.bundle)->text_tokens, fresh = 0;
    for (size_t i = 0; i < job->n_contexts; i++)
        fresh += job->contexts[i] == NULL || !job->contexts[i]->is_cached ? tokens : 0;
    return fresh;
}

static size_t step_size(const struct job *job)
{
    return job_latent_tokens(job) + bundle_info(job->model->round.bundle)->text_tokens;
}

static double evaluation(const struct job *job, bool helped, size_t batch)
{
    return cost_model_item(&job->model->costs, BATCHER_STEP, helped, step_size(job),
                           size_max(batch, 1) * job->n_contexts);
}

static double encode(const struct job *job, bool helped)
{
    size_t tokens = fresh_tokens(job);
    return tokens == 0
               ? 0.0
               : cost_model_item(&job->model->costs, BATCHER_ENCODE, helped, tokens, 1);
}

static double decode(const struct job *job, bool helped)
{
    return cost_model_item(&job->model->costs, BATCHER_DECODE, helped,
                           job_latent_tokens(job), 1);
}

/* Evaluations that are left. */
static double evaluations_left(const struct job *job)
{
    unsigned all = sampling_evaluations(&job->request.sampling);
    return (double)(all - job->facts.evaluations);
}

double forecast_left(const struct job *job, size_t batch)
{
    double steps = evaluations_left(job) * evaluation(job, false, batch);
    double seconds = decode(job, false);
    if (job->state <= JOB_STEPPING)
        seconds += steps;
    if (job->state <= JOB_ENCODING)
        seconds += encode(job, false);
    return seconds;
}

size_t forecast_memory(const struct job *job)
{
    /* What libmicrohttpd keeps for a connection, the request's body and this struct. */
    enum { CONNECTION = 128 * 1024, LATENTS = 6 };
    const struct bundle_info *info = bundle_info(job->model->round.bundle);
    const struct sampling *sampling = &job->request.sampling;
    size_t latent = job_latent_tokens(job) * info->latent_channels;
    size_t contexts = job->n_contexts * info->text_tokens * info->text_width;
    size_t png = sampling->width * sampling->height * 3;
    return CONNECTION + (LATENTS * latent + contexts) * sizeof(float) + png;
}

double forecast_step(const struct job *job, size_t batch)
{
    return (double)job->n_contexts * evaluation(job, false, batch);
}

double forecast_pace(const struct job *job, uint64_t now)
{
    static const double spare = 0.8, least = 1e-6;
    if (job->deadline == 0)
        return 0.0;
    double rounds = evaluations_left(job) / (double)job->n_contexts;
    double time = job->deadline > now ? (double)(job->deadline - now) / 1e9 : 0.0;
    /* Its decode may have to wait for the end of somebody else's round. */
    double steps = time - decode(job, false) - job->model->rounds.seconds;
    double pace = spare * steps / (rounds > 1.0 ? rounds : 1.0);
    return pace > least ? pace : least;
}

struct admission_ask forecast_ask(const struct job *job, size_t batch, uint64_t max_wait)
{
    struct sampling sampling = job->request.sampling;
    sampling.steps = job->max_steps;
    double each = (double)sampling_evaluations(&sampling) / job->max_steps;
    struct admission_ask ask = {
        .deadline = job->deadline == 0 ? ADMISSION_NEVER : job->deadline,
        .fixed = encode(job, false) + decode(job, false),
        .each_step = each * evaluation(job, false, batch),
        .alone_fixed = encode(job, true) + decode(job, true),
        .alone_each_step = each * evaluation(job, true, 1),
        .steps = job->max_steps,
        .min_steps = job->min_steps,
        .images = job->images,
    };
    ask.due = batcher_due(job->submitted, job->deadline,
                          ask.fixed + job->max_steps * ask.each_step, max_wait);
    return ask;
}

/* One share of the round's work for each of its jobs, as far as there was work. */
static size_t collect_shares(const struct round *round, struct cost_share *shares)
{
    size_t n = 0;
    for (size_t i = 0; i < round->n; i++) {
        const struct job *job = round->jobs[i];
        struct cost_share share = {.items = 1};
        switch (round->work) {
        case BATCHER_STEP:
            share = (struct cost_share){step_size(job), job->n_contexts};
            break;
        case BATCHER_ENCODE:
            share.size = fresh_tokens(job);
            break;
        case BATCHER_DECODE:
        case BATCHER_WORK_COUNT:
            share.size = job_latent_tokens(job);
            break;
        }
        if (share.size > 0)
            shares[n++] = share;
    }
    return n;
}

void forecast_learn(const struct round *round)
{
    struct cost_share shares[ROUND_MAX_JOBS];
    struct cost_round cost = {
        .work = round->work, .helped = round->helped, .shares = shares};
    cost.n = collect_shares(round, shares);
    if (cost.n > 0)
        cost_model_observe(&round->jobs[0]->model->costs, &cost,
                           (double)round->took / 1e9);
}

double forecast_capacity(const struct served_model *model, size_t workers, size_t batch)
{
    const struct bundle_info *info = bundle_info(model->round.bundle);
    const struct sampling *usual = &model->limits.defaults;
    size_t latent = usual->width / info->patch * (usual->height / info->patch);
    size_t guided = !info->is_distilled && usual->guidance > 1.0 ? 2 : 1;
    const struct cost_model *costs = &model->costs;
    double seconds = cost_model_item(costs, BATCHER_ENCODE, false, info->text_tokens, 1) +
                     (double)(usual->steps * guided) *
                         cost_model_item(costs, BATCHER_STEP, false,
                                         latent + info->text_tokens, batch * guided) +
                     cost_model_item(costs, BATCHER_DECODE, false, latent, 1);
    return seconds > 0.0 ? (double)workers / seconds : 0.0;
}
