#include "server/planner.h"

#include "server/forecast.h"

#include <stdlib.h>

enum err_code planner_init(struct planner *planner, size_t most, struct err *err)
{
    planner->jobs = calloc(most, sizeof(struct job *));
    planner->ready = calloc(most, sizeof(*planner->ready));
    planner->rounds = calloc(most, sizeof(*planner->rounds));
    if (planner->jobs == NULL || planner->ready == NULL || planner->rounds == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory to plan for %zu requests", most);
    return ERR_OK;
}

void planner_finish(struct planner *planner)
{
    free(planner->jobs);
    free(planner->ready);
    free(planner->rounds);
    *planner = (struct planner){0};
}

static int by_due(const void *a, const void *b)
{
    const struct job *one = *(struct job *const *)a, *other = *(struct job *const *)b;
    return (one->due > other->due) - (one->due < other->due);
}

/* What the job waits for. */
static struct batcher_ready ready_of(const struct planner_view *view,
                                     const struct job *job)
{
    static const enum batcher_work works[JOB_STATE_COUNT] = {
        [JOB_ENCODING] = BATCHER_ENCODE,
        [JOB_STEPPING] = BATCHER_STEP,
        [JOB_DECODING] = BATCHER_DECODE,
    };
    /* Of another model than most: it may bear smaller rounds, so it gets one alone. */
    bool is_odd = job->model != view->model;
    return (struct batcher_ready){
        .work = job->wants_preview ? BATCHER_DECODE : works[job->state],
        .model = job->model,
        .items = is_odd ? view->model->rounds.items : job->n_contexts,
        .tokens = job->n_contexts * job_latent_tokens(job),
        .seconds = forecast_step(job, view->batch),
        .pace = forecast_pace(job, view->now),
    };
}

/* Previews are the first thing that is left out under load: they are made while each
 * request could have a worker of its own. What was promised by a deadline was promised
 * without them. */
static bool has_time_for_preview(const struct planner_view *view, const struct job *job)
{
    return job->deadline == 0 && view->roster->n_queued == 0 &&
           view->roster->n_running <= view->workers;
}

size_t planner_plan(struct planner *planner, const struct planner_view *view)
{
    planner->n = 0;
    for (struct job *job = roster_first_running(view->roster); job != NULL;
         job = roster_next_running(view->roster, job)) {
        if (job->round != NULL)
            continue;
        job->wants_preview = job->wants_preview && has_time_for_preview(view, job);
        planner->jobs[planner->n++] = job;
    }
    qsort(planner->jobs, planner->n, sizeof(struct job *), by_due);
    for (size_t i = 0; i < planner->n; i++)
        planner->ready[i] = ready_of(view, planner->jobs[i]);
    return batcher_plan(planner->ready, planner->n, view->free_workers,
                        &view->model->rounds, planner->rounds);
}

size_t planner_count_waiting(const struct planner *planner)
{
    size_t waiting = 0;
    for (size_t i = 0; i < planner->n; i++)
        waiting += planner->rounds[i] == BATCHER_WAIT;
    return waiting;
}

void planner_fill(const struct planner *planner, size_t number, struct round *round)
{
    round->n = 0;
    for (size_t i = 0; i < planner->n; i++) {
        if (planner->rounds[i] != (int)number)
            continue;
        struct job *job = planner->jobs[i];
        round->work = planner->ready[i].work;
        round->setting = &job->model->round;
        round->jobs[round->n++] = job;
        job->round = round;
    }
}
