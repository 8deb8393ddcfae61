#include "server/reception.h"

#include "base/random.h"
#include "base/size.h"
#include "server/forecast.h"

/* No more than run beside each other, nor than rounds had lately, since sizes and
 * deadlines keep them small. */
size_t reception_batch(const struct scheduler *scheduler)
{
    size_t batch = scheduler->roster.n_running / scheduler->setting.workers;
    return size_max(size_min(batch, (size_t)(scheduler->batch + 0.5)), 1);
}

static struct admission decide(struct scheduler *scheduler, struct job *job, uint64_t now)
{
    const struct scheduler_setting *setting = &scheduler->setting;
    size_t n = roster_commitments(&scheduler->roster, job);
    struct admission_ask ask =
        forecast_ask(job, reception_batch(scheduler), setting->max_wait);
    struct admission_limits limits = {
        .workers = setting->workers,
        .max_wait = (double)setting->max_wait / 1e9,
        .slack = job->model->rounds.seconds,
    };
    return admission_decide(&ask, scheduler->roster.commitments, n, &limits, now);
}

void reception_forecast(const struct scheduler *scheduler, struct job *job)
{
    job->seconds_left = forecast_left(job, reception_batch(scheduler));
    job->due = batcher_due(job->submitted, job->deadline, job->seconds_left,
                           scheduler->setting.max_wait);
}

bool reception_has_room(const struct scheduler *scheduler, size_t images)
{
    const struct roster *roster = &scheduler->roster;
    return roster->n_queued + roster->n_running + roster->n_following + images <=
           scheduler->places + scheduler->setting.queue;
}

static enum refusal refusal_of(const struct scheduler *scheduler,
                               const struct job *job,
                               enum admission_outcome outcome)
{
    static const enum refusal refusals[] = {
        [ADMISSION_YES] = REFUSAL_NONE,
        [ADMISSION_WAIT] = REFUSAL_WAIT,
        [ADMISSION_LATE] = REFUSAL_DEADLINE,
        [ADMISSION_IMPOSSIBLE] = REFUSAL_IMPOSSIBLE,
    };
    const struct scheduler_setting *setting = &scheduler->setting;
    const struct roster *roster = &scheduler->roster;
    if (job->images > scheduler->places + setting->queue ||
        job->images * job->memory > setting->job_memory)
        return REFUSAL_SIZE;
    if (outcome != ADMISSION_YES)
        return refusals[outcome];
    if (!reception_has_room(scheduler, job->images))
        return REFUSAL_COUNT;
    if (roster->memory + job->images * job->memory > setting->job_memory)
        return REFUSAL_MEMORY;
    return REFUSAL_NONE;
}

enum refusal
reception_consider(struct scheduler *scheduler, struct job *job, uint64_t now)
{
    job->admission = decide(scheduler, job, now);
    enum refusal refusal = refusal_of(scheduler, job, job->admission.outcome);
    if (refusal == REFUSAL_COUNT || refusal == REFUSAL_MEMORY)
        job->admission.retry_after =
            (double)reception_batch(scheduler) * roster_next_end(&scheduler->roster);
    if (refusal != REFUSAL_NONE)
        verdict_refuse(job, refusal, &job->admission, random_u32());
    return refusal;
}

struct correction {
    struct scheduler *scheduler;
    struct job *first;
};

static void adopt_steps(struct job *job, void *context)
{
    const struct correction *correction = context;
    struct job *first = correction->first;
    bool is_begun = job->round != NULL || job->state > JOB_ENCODING;
    if (job->first != first || is_begun)
        return;
    job->request.sampling.steps = first->request.sampling.steps;
    reception_forecast(correction->scheduler, job);
}

void reception_correct(struct scheduler *scheduler, struct job *job, uint64_t now)
{
    struct job *first = job->first;
    if (job->min_steps == job->max_steps)
        return;
    if (!first->has_final_steps) {
        unsigned steps = decide(scheduler, first, now).steps;
        struct correction correction = {scheduler, first};
        first->request.sampling.steps = steps > 0 ? steps : first->min_steps;
        first->has_final_steps = true;
        roster_visit(&scheduler->roster, adopt_steps, &correction);
    }
    job->request.sampling.steps = first->request.sampling.steps;
    reception_forecast(scheduler, job);
}
