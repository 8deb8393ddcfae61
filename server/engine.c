#include "server/engine.h"

#include "base/clock.h"
#include "server/engine_seats.h"
#include "server/inbox.h"

#include <uv.h>

#include <pthread.h>
#include <stdlib.h>

enum { HEARTBEAT_MILLISECONDS = 1000, ALIVE_SECONDS = 10 };

struct engine {
    struct engine_setting setting;
    size_t capacity; /* jobs that run at a time */
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t heartbeat;
    pthread_t thread;
    bool loop_is_open, thread_runs;
    atomic_uint_fast64_t last_turn;

    struct inbox inbox;

    /* The engine thread's own. */
    struct list queued, running; /* in order of arrival */
    size_t n_queued, n_running;
    bool is_canceling;
    struct context_cache contexts;
    struct seats seats;
    struct job **ready_jobs; /* capacity each */
    struct batcher_ready *ready;
    int *rounds;
};

size_t engine_pool_size(size_t workers)
{
    return workers + 1;
}

static void publish(struct engine *engine)
{
    struct metrics *metrics = engine->setting.metrics;
    atomic_store(&metrics->queued, engine->n_queued);
    atomic_store(&metrics->running, engine->n_running);
    atomic_store(&metrics->context_bytes, engine->contexts.bytes);
}

/* The job leaves the engine. It must be in no list any more. */
static void finish(struct engine *engine, struct job *job, enum job_state state)
{
    job_move(job, state);
    for (size_t i = 0; i < job->n_contexts; i++) {
        context_release(job->contexts[i]);
        job->contexts[i] = NULL;
    }
    if (state == JOB_DONE) {
        atomic_fetch_add(&engine->setting.metrics->images, 1);
        metrics_observe_request(engine->setting.metrics, clock_now() - job->submitted);
    }
    /* Before done: whoever gets the answer reads gauges that no longer count it. */
    publish(engine);
    job->done(job, job->done_context);

    inbox_done(&engine->inbox);
}

static void finish_running(struct engine *engine, struct job *job, enum job_state state)
{
    list_remove(&job->node);
    engine->n_running--;
    finish(engine, job, state);
}

static void cancel(struct engine *engine, struct job *job)
{
    (void)problem_set(&job->problem, PROBLEM_UNAVAILABLE, NULL,
                      "the server is shutting down; try another replica");
    job->problem.retry_after = 1;
    finish(engine, job, JOB_CANCELED);
}

static void after_encode(struct engine *engine, struct job *job, uint64_t now)
{
    for (size_t i = 0; i < job->n_contexts; i++) {
        if (!job->contexts[i]->is_cached)
            job->contexts[i] = context_cache_add(&engine->contexts, job->contexts[i]);
    }
    job->facts.prompt_tokens = job->contexts[0]->tokens;
    job->facts.prompt_tokens_total = job->contexts[0]->tokens_total;
    job->facts.prompt_tokens_limit = job->contexts[0]->condition.tokens;
    job->facts.encode = now - job->started;
    job->stepping_since = now;
    job_move(job, JOB_STEPPING);
}

static void after_step(struct engine *engine, struct job *job, uint64_t now)
{
    (void)engine;
    job->facts.steps = trajectory_steps_done(job->trajectory);
    job->facts.evaluations = trajectory_evaluations_done(job->trajectory);
    if (job->facts.steps < job->request.sampling.steps)
        return;
    job->facts.stepping = now - job->stepping_since;
    job->decoding_since = now;
    job_move(job, JOB_DECODING);
}

static void after_decode(struct engine *engine, struct job *job, uint64_t now)
{
    job->facts.decode = now - job->decoding_since;
    finish_running(engine, job, JOB_DONE);
}

/* A round that did not succeed: its jobs end with the reason. */
static void
after_failure(struct engine *engine, struct job *job, const struct round *round)
{
    if (round->code == ERR_CANCELED) {
        list_remove(&job->node);
        engine->n_running--;
        cancel(engine, job);
        return;
    }
    (void)problem_set(&job->problem, PROBLEM_INTERNAL, NULL, "%s: %s",
                      err_text(round->code), round->err.message);
    finish_running(engine, job, JOB_FAILED);
}

static void take_results(struct engine *engine, const struct round *round)
{
    static void (*const after[BATCHER_WORK_COUNT])(struct engine *, struct job *,
                                                   uint64_t) = {
        [BATCHER_DECODE] = after_decode,
        [BATCHER_ENCODE] = after_encode,
        [BATCHER_STEP] = after_step,
    };
    uint64_t now = clock_now();
    metrics_observe_round(engine->setting.metrics, round->work, round->took);
    for (size_t i = 0; i < round->n; i++) {
        struct job *job = round->jobs[i];
        unsigned before = job->facts.evaluations;
        job->in_round = false;
        if (round->code != ERR_OK) {
            after_failure(engine, job, round);
            continue;
        }
        if (round->work == BATCHER_STEP)
            atomic_fetch_add(&engine->setting.metrics->evaluations,
                             trajectory_evaluations_done(job->trajectory) - before);
        after[round->work](engine, job, now);
    }
}

/* Some began their first step beside others that were on their way: counts the former. */
static void observe_batch(struct engine *engine, const struct round *round)
{
    size_t fresh = 0;
    for (size_t i = 0; i < round->n; i++)
        fresh += trajectory_evaluations_done(round->jobs[i]->trajectory) == 0;
    if (fresh < round->n)
        atomic_fetch_add(&engine->setting.metrics->joined, fresh);
    metrics_observe_batch(engine->setting.metrics, round->n);
}

static void launch(struct engine *engine, struct seat *seat)
{
    for (size_t i = 0; i < seat->round.n; i++)
        seat->round.jobs[i]->in_round = true;
    if (seat->round.work == BATCHER_STEP)
        observe_batch(engine, &seat->round);
    seats_lead(seat, engine->is_canceling);
}

/* What the job waits for, of the running ones that are in no round. */
static struct batcher_ready ready_of(const struct engine *engine, const struct job *job)
{
    static const enum batcher_work works[JOB_STATE_COUNT] = {
        [JOB_ENCODING] = BATCHER_ENCODE,
        [JOB_STEPPING] = BATCHER_STEP,
        [JOB_DECODING] = BATCHER_DECODE,
    };
    size_t patch = bundle_info(engine->setting.round.bundle)->patch;
    const struct sampling *sampling = &job->request.sampling;
    size_t tokens = sampling->width / patch * (sampling->height / patch);
    return (struct batcher_ready){works[job->state], job->n_contexts,
                                  job->n_contexts * tokens};
}

static size_t collect_ready(struct engine *engine)
{
    size_t n = 0;
    struct list_node *node = list_first(&engine->running);
    for (; node != NULL; node = list_next(&engine->running, node)) {
        struct job *job = list_entry(node, struct job, node);
        if (job->in_round)
            continue;
        engine->ready_jobs[n] = job;
        engine->ready[n++] = ready_of(engine, job);
    }
    return n;
}

/* Plans what is ready onto the free seats; returns how many jobs are left waiting. */
static size_t start_rounds(struct engine *engine)
{
    size_t n = collect_ready(engine), waiting = n;
    size_t n_rounds = batcher_plan(engine->ready, n, seats_count_free(&engine->seats),
                                   &engine->setting.limits, engine->rounds);
    for (size_t round = 0; round < n_rounds; round++) {
        struct seat *seat = seats_find_free(&engine->seats);
        if (seat == NULL)
            break;
        seat->round.n = 0;
        for (size_t i = 0; i < n; i++) {
            if (engine->rounds[i] != (int)round)
                continue;
            seat->round.work = engine->ready[i].work;
            seat->round.jobs[seat->round.n++] = engine->ready_jobs[i];
        }
        waiting -= seat->round.n;
        launch(engine, seat);
    }
    return waiting;
}

/* The job gets a place, and what the cache has of its prompts. */
static void begin(struct engine *engine, struct job *job)
{
    const struct request *request = &job->request;
    list_append(&engine->running, &job->node);
    engine->n_running++;
    job->started = clock_now();
    job->facts.queue = job->started - job->submitted;
    job->contexts[0] =
        context_cache_find(&engine->contexts, request->prompt, request->prompt_bytes);
    if (job->n_contexts > 1)
        job->contexts[1] = context_cache_find(&engine->contexts, request->negative_prompt,
                                              request->negative_prompt_bytes);
    job_move(job, JOB_ENCODING);
}

/* From the queue to a place, while there are places. */
static void admit(struct engine *engine)
{
    struct list_node *node;
    while (engine->n_running < engine->capacity &&
           (node = list_pop(&engine->queued)) != NULL) {
        engine->n_queued--;
        begin(engine, list_entry(node, struct job, node));
    }
}

static void cancel_waiting(struct engine *engine)
{
    struct list_node *node, *next;
    while ((node = list_pop(&engine->queued)) != NULL) {
        engine->n_queued--;
        cancel(engine, list_entry(node, struct job, node));
    }
    for (node = list_first(&engine->running); node != NULL; node = next) {
        struct job *job = list_entry(node, struct job, node);
        next = list_next(&engine->running, node);
        if (job->in_round)
            continue;
        list_remove(node);
        engine->n_running--;
        cancel(engine, job);
    }
}

static void schedule(struct engine *engine)
{
    if (engine->is_canceling)
        cancel_waiting(engine);
    admit(engine);
    if (start_rounds(engine) > 0)
        seats_call_helpers_away(&engine->seats);
    else
        seats_send_helpers(&engine->seats);
    publish(engine);
}

static void seat_ended(void *context, struct round *round)
{
    struct engine *engine = context;
    if (round != NULL)
        take_results(engine, round);
    schedule(engine);
}

/* Sends coalesce: everything that was submitted is taken, every time. */
static void woken(uv_async_t *async)
{
    struct engine *engine = async->data;
    enum inbox_mode mode;
    engine->n_queued += inbox_take(&engine->inbox, &engine->queued, &mode);
    engine->is_canceling = mode != INBOX_OPEN;
    if (engine->is_canceling)
        seats_stop_rounds(&engine->seats);
    schedule(engine);
    if (mode == INBOX_QUITTING) {
        uv_close((uv_handle_t *)&engine->wake, NULL);
        uv_close((uv_handle_t *)&engine->heartbeat, NULL);
    }
}

static void beat(uv_timer_t *timer)
{
    struct engine *engine = timer->data;
    atomic_store(&engine->last_turn, clock_now());
}

static void *run_loop(void *argument)
{
    struct engine *engine = argument;
    (void)uv_run(&engine->loop, UV_RUN_DEFAULT);
    return NULL;
}

static enum err_code allocate(struct engine *engine, struct err *err)
{
    const struct engine_setting *setting = &engine->setting;
    engine->ready_jobs = calloc(engine->capacity, sizeof(struct job *));
    engine->ready = calloc(engine->capacity, sizeof(*engine->ready));
    engine->rounds = calloc(engine->capacity, sizeof(*engine->rounds));
    if (engine->ready_jobs == NULL || engine->ready == NULL || engine->rounds == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %zu workers", setting->workers);
    engine->seats.loop = &engine->loop;
    engine->seats.setting = &setting->round;
    engine->seats.ended = seat_ended;
    engine->seats.context = engine;
    return seats_init(&engine->seats, setting->workers, setting->scratch, err);
}

static enum err_code start(struct engine *engine, struct err *err)
{
    enum err_code code = allocate(engine, err);
    if (code != ERR_OK)
        return code;
    int status = uv_loop_init(&engine->loop);
    if (status != 0)
        return err_set(err, ERR_INTERNAL, "uv_loop_init: %s", uv_strerror(status));
    engine->loop_is_open = true;
    engine->wake.data = engine->heartbeat.data = engine;
    status = uv_async_init(&engine->loop, &engine->wake, woken);
    if (status != 0)
        return err_set(err, ERR_INTERNAL, "uv_async_init: %s", uv_strerror(status));
    (void)uv_timer_init(&engine->loop, &engine->heartbeat);
    (void)uv_timer_start(&engine->heartbeat, beat, 0, HEARTBEAT_MILLISECONDS);
    atomic_store(&engine->last_turn, clock_now());
    engine->thread_runs = pthread_create(&engine->thread, NULL, run_loop, engine) == 0;
    if (!engine->thread_runs)
        return err_set(err, ERR_INTERNAL, "cannot start the engine's thread");
    return ERR_OK;
}

enum err_code
engine_create(struct engine **out, const struct engine_setting *setting, struct err *err)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the engine");
    engine->setting = *setting;
    engine->capacity = setting->workers * setting->limits.jobs;
    list_init(&engine->queued);
    list_init(&engine->running);
    context_cache_init(&engine->contexts, setting->context_cache);
    inbox_init(&engine->inbox, engine->capacity + setting->queue);
    enum err_code code = start(engine, err);
    if (code != ERR_OK) {
        engine_destroy(engine);
        return code;
    }
    *out = engine;
    return ERR_OK;
}

enum err_code engine_submit(struct engine *engine, struct job *job, struct err *err)
{
    job->submitted = clock_now();
    enum err_code code = inbox_put(&engine->inbox, &job->node, err);
    if (code == ERR_OK)
        (void)uv_async_send(&engine->wake);
    return code;
}

bool engine_wait_idle(struct engine *engine, uint64_t milliseconds)
{
    return pending_wait(&engine->inbox.pending, milliseconds);
}

void engine_cancel_all(struct engine *engine)
{
    inbox_set_mode(&engine->inbox, INBOX_CANCELING);
    (void)uv_async_send(&engine->wake);
}

void engine_destroy(struct engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->thread_runs) {
        inbox_set_mode(&engine->inbox, INBOX_QUITTING);
        (void)uv_async_send(&engine->wake);
        (void)pthread_join(engine->thread, NULL);
    }
    if (engine->loop_is_open)
        (void)uv_loop_close(&engine->loop);
    seats_finish(&engine->seats);
    context_cache_finish(&engine->contexts);
    inbox_finish(&engine->inbox);
    free(engine->ready_jobs);
    free(engine->ready);
    free(engine->rounds);
    free(engine);
}

bool engine_is_alive(const struct engine *engine)
{
    uint64_t silent = clock_now() - atomic_load(&engine->last_turn);
    return silent < (uint64_t)ALIVE_SECONDS * 1000000000u;
}
