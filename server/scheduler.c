#include "server/scheduler.h"

#include "server/forecast.h"
#include "server/observation.h"
#include "server/reception.h"

enum err_code scheduler_init(struct scheduler *scheduler,
                             const struct scheduler_setting *setting,
                             struct err *err)
{
    *scheduler = (struct scheduler){.setting = *setting};
    context_cache_init(&scheduler->contexts, setting->context_cache);
    scheduler->places = setting->workers * setting->max_batch;
    /* What is urgent gets a place although all are taken: twice as many at most. */
    size_t running = 2 * scheduler->places;
    enum err_code code = planner_init(&scheduler->planner, running, err);
    if (code != ERR_OK)
        return code;
    return roster_init(&scheduler->roster, running + setting->queue, err);
}

void scheduler_finish(struct scheduler *scheduler)
{
    if (scheduler->planner.jobs != NULL)
        context_cache_finish(&scheduler->contexts);
    roster_finish(&scheduler->roster);
    planner_finish(&scheduler->planner);
    *scheduler = (struct scheduler){0};
}

void scheduler_use_model(struct scheduler *scheduler, const struct served_model *model)
{
    context_cache_finish(&scheduler->contexts);
    context_cache_init(&scheduler->contexts, scheduler->setting.context_cache);
    scheduler->model = model;
}

void scheduler_publish(struct scheduler *scheduler)
{
    struct metrics *metrics = scheduler->setting.metrics;
    const struct roster *roster = &scheduler->roster;
    size_t workers = scheduler->setting.workers;
    metrics_set(metrics, METRIC_QUEUE_LENGTH, (double)roster->n_queued);
    metrics_set(metrics, METRIC_RUNNING, (double)roster->n_running);
    metrics_set(metrics, METRIC_CONTEXT_CACHE_BYTES, (double)scheduler->contexts.bytes);
    metrics_set(metrics, METRIC_REQUEST_BYTES, (double)roster->memory);
    metrics_set(metrics, METRIC_REQUEST_BYTES_LIMIT,
                (double)scheduler->setting.job_memory);
    metrics_set(metrics, METRIC_PREDICTED_WAIT,
                roster_seconds_left(roster) / (double)workers);
    metrics_set(metrics, METRIC_CAPACITY,
                forecast_capacity(scheduler->model, workers, reception_batch(scheduler)));
}

/* The job leaves the scheduler. It is in no list any more, and none follows it. */
static void end_alone(struct scheduler *scheduler, struct job *job, enum job_state state)
{
    job_move(job, state);
    for (size_t i = 0; i < job->n_contexts; i++) {
        context_release(job->contexts[i]);
        job->contexts[i] = NULL;
    }
    observe_end(scheduler->setting.metrics, job);
    /* Before done: whoever gets the answer reads gauges that no longer count it. */
    scheduler_publish(scheduler);
    job->done(job, job->context);
    scheduler->setting.ended(scheduler->setting.context);
}

/* It gets what the job got that it followed. */
static enum job_state
take_over(struct job *follower, const struct job *job, enum job_state state)
{
    follower->problem = job->problem;
    follower->facts = job->facts;
    follower->is_copy = true;
    if (state != JOB_DONE || buf_append(&follower->png, job->png.data, job->png.length))
        return state;
    (void)problem_set(&follower->problem, PROBLEM_INTERNAL, NULL,
                      "no memory for a copy of the image");
    return JOB_FAILED;
}

/* The job and its followers. */
static void end(struct scheduler *scheduler, struct job *job, enum job_state state)
{
    struct list_node *node;
    while ((node = list_pop(&job->followers)) != NULL) {
        struct job *follower = list_entry(node, struct job, node);
        scheduler->roster.n_following--;
        if (state == JOB_DONE)
            metrics_add(scheduler->setting.metrics, METRIC_SHARED, 0, 1.0);
        end_alone(scheduler, follower, take_over(follower, job, state));
    }
    end_alone(scheduler, job, state);
}

static void leave(struct scheduler *scheduler, struct job *job, enum job_state state)
{
    roster_leave(&scheduler->roster, job);
    end(scheduler, job, state);
}

static void note_oldest(const struct scheduler *scheduler, struct job *estimate)
{
    const struct job *oldest = roster_first_running(&scheduler->roster);
    if (oldest == NULL)
        return;
    estimate->oldest.steps_done = oldest->facts.steps;
    estimate->oldest.steps = oldest->request.sampling.steps;
    estimate->oldest.seconds_left = oldest->seconds_left;
}

void scheduler_take(struct scheduler *scheduler, struct job *job, uint64_t now)
{
    enum refusal refusal = REFUSAL_NONE;
    job->memory = forecast_memory(job);
    if (verdict_end(job, scheduler->is_canceling, now)) {
        end(scheduler, job, JOB_CANCELED);
        return;
    }
    struct job *leader = job->is_estimate ? NULL : roster_find(&scheduler->roster, job);
    /* Who finds no room is refused below like all others: a connection waits for it. */
    if (leader != NULL && reception_has_room(scheduler, 1)) {
        list_append(&leader->followers, &job->node);
        scheduler->roster.n_following++;
        return;
    }
    if (job->first == job)
        refusal = reception_consider(scheduler, job, now);
    else
        job->admission = job->first->admission;
    if (job->is_estimate) {
        note_oldest(scheduler, job);
        end(scheduler, job, JOB_CANCELED);
        return;
    }
    if (refusal != REFUSAL_NONE) {
        metrics_add(scheduler->setting.metrics, METRIC_REFUSALS, refusal, 1.0);
        end(scheduler, job, JOB_FAILED);
        return;
    }
    job->request.sampling.steps = job->admission.steps;
    job->promised = now + (uint64_t)(job->admission.finish * 1e9);
    reception_forecast(scheduler, job);
    roster_enter(&scheduler->roster, job);
    job_tell(job, JOB_ADMITTED);
}

/* What the cache has of the prompts that the job has no context of. */
static void find_contexts(struct scheduler *scheduler, struct job *job)
{
    const struct request *request = &job->request;
    const struct {
        const char *text;
        size_t bytes;
    } prompts[JOB_CONTEXTS] = {
        {request->prompt, request->prompt_bytes},
        {request->negative_prompt, request->negative_prompt_bytes}};
    if (job->model != scheduler->model)
        return;
    for (size_t i = 0; i < JOB_CONTEXTS && i < job->n_contexts; i++) {
        if (job->contexts[i] == NULL)
            job->contexts[i] = context_cache_find(&scheduler->contexts, prompts[i].text,
                                                  prompts[i].bytes);
    }
}

/* The job gets a place. */
static void begin(struct scheduler *scheduler, struct job *job, uint64_t now)
{
    roster_start(&scheduler->roster, job);
    job->started = now;
    job->facts.queue = now - job->submitted;
    job_move(job, JOB_ENCODING);
    find_contexts(scheduler, job);
}

/* From the queue to a place, while there are places; what is due before some that run has
 * one of as many more. */
static void fill_places(struct scheduler *scheduler, uint64_t now)
{
    struct roster *roster = &scheduler->roster;
    struct job *job;
    while ((job = roster_first_queued(roster)) != NULL &&
           roster->n_running < 2 * scheduler->places &&
           (roster->n_running < scheduler->places || roster_is_urgent(roster, job)))
        begin(scheduler, job, now);
}

size_t scheduler_plan(struct scheduler *scheduler,
                      size_t free_workers,
                      size_t *waiting,
                      uint64_t now)
{
    fill_places(scheduler, now);
    const struct planner_view view = {
        .roster = &scheduler->roster,
        .model = scheduler->model,
        .workers = scheduler->setting.workers,
        .free_workers = free_workers,
        .batch = reception_batch(scheduler),
        .now = now,
    };
    size_t rounds = planner_plan(&scheduler->planner, &view);
    *waiting = planner_count_waiting(&scheduler->planner);
    return rounds;
}

void scheduler_fill(struct scheduler *scheduler,
                    size_t number,
                    struct round *round,
                    uint64_t now)
{
    planner_fill(&scheduler->planner, number, round);
    for (size_t i = 0; i < round->n && round->work == BATCHER_ENCODE; i++) {
        /* Another image of the request may have been encoded since this one got a place.
         */
        find_contexts(scheduler, round->jobs[i]);
        reception_correct(scheduler, round->jobs[i], now);
    }
    observe_start(scheduler->setting.metrics, round);
}

static void after_encode(struct scheduler *scheduler, struct job *job, uint64_t now)
{
    for (size_t i = 0; i < job->n_contexts; i++) {
        if (!job->contexts[i]->is_cached && job->model == scheduler->model)
            job->contexts[i] = context_cache_add(&scheduler->contexts, job->contexts[i]);
    }
    job->facts.prompt_tokens = job->contexts[0]->tokens;
    job->facts.prompt_tokens_total = job->contexts[0]->tokens_total;
    job->facts.prompt_tokens_limit = job->contexts[0]->condition.tokens;
    job->facts.encode = now - job->started;
    job->stepping_since = now;
    job_move(job, JOB_STEPPING);
}

static void after_step(struct scheduler *scheduler, struct job *job, uint64_t now)
{
    unsigned before = job->facts.evaluations, steps = job->facts.steps;
    job->facts.steps = trajectory_steps_done(job->trajectory);
    job->facts.evaluations = trajectory_evaluations_done(job->trajectory);
    metrics_add(scheduler->setting.metrics, METRIC_EVALUATIONS, 0,
                (double)(job->facts.evaluations - before));
    unsigned every = job->request.preview_every;
    bool is_last = job->facts.steps >= job->request.sampling.steps;
    job->wants_preview = !is_last && every > 0 && job->facts.steps % every == 0 &&
                         job->facts.steps > steps;
    if (job->facts.steps > steps) /* some solvers evaluate twice a step */
        job_tell(job, JOB_STEPPED);
    if (!is_last)
        return;
    job->facts.stepping = now - job->stepping_since;
    job->decoding_since = now;
    job_move(job, JOB_DECODING);
}

static void after_decode(struct scheduler *scheduler, struct job *job, uint64_t now)
{
    if (job->wants_preview) {
        job->wants_preview = false;
        job_tell(job, JOB_PREVIEWED);
        buf_finish(&job->preview);
        return;
    }
    job->facts.decode = now - job->decoding_since;
    job->finished = now;
    leave(scheduler, job, JOB_DONE);
}

/* The job's next state, or its end. */
static void advance(struct scheduler *scheduler,
                    struct job *job,
                    const struct round *round,
                    uint64_t now)
{
    static void (*const after[BATCHER_WORK_COUNT])(struct scheduler *, struct job *,
                                                   uint64_t) = {
        [BATCHER_DECODE] = after_decode,
        [BATCHER_ENCODE] = after_encode,
        [BATCHER_STEP] = after_step,
    };
    if (verdict_end(job, scheduler->is_canceling, now)) {
        leave(scheduler, job, JOB_CANCELED);
    } else if (round->code != ERR_OK) {
        (void)problem_set(&job->problem, PROBLEM_INTERNAL, NULL, "%s: %s",
                          err_text(round->code), round->err.message);
        leave(scheduler, job, JOB_FAILED);
    } else {
        after[round->work](scheduler, job, now);
    }
}

void scheduler_end_round(struct scheduler *scheduler,
                         const struct round *round,
                         uint64_t now)
{
    static const double newest = 1.0 / 16;
    observe_round(scheduler->setting.metrics, round);
    /* Before the contexts that an encode made are cached: they count as its work. */
    if (round->code == ERR_OK)
        forecast_learn(round);
    if (round->work == BATCHER_STEP)
        scheduler->batch += newest * ((double)round->n - scheduler->batch);
    for (size_t i = 0; i < round->n; i++) {
        round->jobs[i]->round = NULL;
        advance(scheduler, round->jobs[i], round, now);
    }
    struct job *job = roster_first_running(&scheduler->roster);
    for (; job != NULL; job = roster_next_running(&scheduler->roster, job)) {
        if (job->round == NULL)
            reception_forecast(scheduler, job);
    }
}

/* A round stops when nobody needs its result. */
static void stop_if_unwanted(struct round *round, bool is_canceling, uint64_t now)
{
    for (size_t i = 0; i < round->n; i++) {
        if (!verdict_is_unwanted(round->jobs[i], is_canceling, now))
            return;
    }
    atomic_store(&round->stop, true);
}

struct check {
    struct scheduler *scheduler;
    uint64_t now;
};

static void check_job(struct job *job, void *context)
{
    const struct check *check = context;
    bool is_canceling = check->scheduler->is_canceling;
    struct list_node *next, *node = list_first(&job->followers);
    for (; node != NULL; node = next) {
        struct job *follower = list_entry(node, struct job, node);
        next = list_next(&job->followers, node);
        if (verdict_end(follower, is_canceling, check->now)) {
            list_remove(node);
            check->scheduler->roster.n_following--;
            end(check->scheduler, follower, JOB_CANCELED);
        }
    }
    if (!verdict_is_unwanted(job, is_canceling, check->now))
        return;
    if (job->round != NULL)
        stop_if_unwanted(job->round, is_canceling, check->now);
    else if (verdict_end(job, is_canceling, check->now))
        leave(check->scheduler, job, JOB_CANCELED);
}

void scheduler_check(struct scheduler *scheduler, uint64_t now)
{
    struct check check = {scheduler, now};
    roster_visit(&scheduler->roster, check_job, &check);
}

static void refresh_job(struct job *job, void *scheduler)
{
    if (job->round == NULL) /* else a worker is writing its contexts */
        reception_forecast(scheduler, job);
    job_tell(job, JOB_TICK);
}

void scheduler_refresh(struct scheduler *scheduler)
{
    roster_visit(&scheduler->roster, refresh_job, scheduler);
    roster_sort(&scheduler->roster);
    scheduler_publish(scheduler);
}

void scheduler_cancel_all(struct scheduler *scheduler, uint64_t now)
{
    scheduler->is_canceling = true;
    scheduler_check(scheduler, now);
}
