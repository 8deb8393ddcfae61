#include "server/observation.h"

#include "base/size.h"

static double seconds(uint64_t nanoseconds)
{
    return (double)nanoseconds / 1e9;
}

void observe_start(struct metrics *metrics, const struct round *round)
{
    size_t fresh = 0;
    if (round->work != BATCHER_STEP)
        return;
    /* Some begin their first step beside others that are on their way. */
    for (size_t i = 0; i < round->n; i++)
        fresh += round->jobs[i]->facts.evaluations == 0;
    if (fresh < round->n)
        metrics_add(metrics, METRIC_JOINED, 0, (double)fresh);
    metrics_observe(metrics, HISTOGRAM_BATCH_REQUESTS, 0, (double)round->n);
}

void observe_round(struct metrics *metrics, const struct round *round)
{
    metrics_observe(metrics, HISTOGRAM_ROUND, round->work, seconds(round->took));
    if (round->work == BATCHER_STEP)
        metrics_observe(metrics, HISTOGRAM_STEP_ROUND, size_log2(round->n),
                        seconds(round->took));
}

static void observe_image(struct metrics *metrics, const struct job *job)
{
    const struct answer_facts *facts = &job->facts;
    const uint64_t phases[] = {
        [METRIC_PHASE_QUEUE] = facts->queue,
        [METRIC_PHASE_ENCODE] = facts->encode,
        [METRIC_PHASE_STEPS] = facts->stepping,
        [METRIC_PHASE_DECODE] = facts->decode,
    };
    double took = seconds(job->finished - job->submitted);
    double predicted = seconds(job->promised - job->submitted);
    metrics_add(metrics, METRIC_IMAGES, 0, 1.0);
    metrics_observe(metrics, HISTOGRAM_REQUEST, 0, took);
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
        metrics_observe(metrics, HISTOGRAM_PHASE, i, seconds(phases[i]));
    /* What several were promised is the end of the last; previews were not reckoned with.
     */
    if (predicted > 0.0 && job->first->images == 1 && job->request.preview_every == 0)
        metrics_observe(metrics, HISTOGRAM_PREDICTION, 0, took / predicted);
    if (job->request.sampling.steps < job->max_steps)
        metrics_add(metrics, METRIC_STEPS_LOWERED, 0, 1.0);
}

static enum metric_canceled reason_of(const struct job *job)
{
    enum problem_kind kind = job->problem.kind;
    if (kind == PROBLEM_CLIENT_GONE)
        return METRIC_CANCELED_CLIENT;
    if (kind == PROBLEM_DEADLINE)
        return METRIC_CANCELED_DEADLINE;
    if (kind == PROBLEM_UNAVAILABLE)
        return METRIC_CANCELED_SHUTDOWN;
    return job->state == JOB_CANCELED ? METRIC_CANCELED_SIBLING
                                      : METRIC_CANCELED_INTERNAL;
}

static void observe_failure(struct metrics *metrics, const struct job *job)
{
    enum metric_canceled reason = reason_of(job);
    metrics_add(metrics, METRIC_WASTED_EVALUATIONS, 0, job->facts.evaluations);
    metrics_add(metrics, METRIC_CANCELED, reason, 1.0);
    if (job->deadline != 0 && reason != METRIC_CANCELED_CLIENT &&
        reason != METRIC_CANCELED_SIBLING)
        metrics_add(metrics, METRIC_DEADLINES, METRIC_DEADLINE_MISSED, 1.0);
}

void observe_end(struct metrics *metrics, const struct job *job)
{
    bool was_let_in = job->promised != 0;
    if (!was_let_in)
        return;
    if (job->started != 0)
        metrics_observe(metrics, HISTOGRAM_QUEUE_WAIT, 0, seconds(job->facts.queue));
    if (job->state != JOB_DONE) {
        observe_failure(metrics, job);
        return;
    }
    observe_image(metrics, job);
    if (job->deadline != 0)
        metrics_add(metrics, METRIC_DEADLINES, METRIC_DEADLINE_MET, 1.0);
}
