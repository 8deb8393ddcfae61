#include "server/engine.h"

#include "base/clock.h"
#include "server/engine_seats.h"
#include "server/inbox.h"

#include <uv.h>

#include <pthread.h>
#include <stdlib.h>

enum { HEARTBEAT_MILLISECONDS = 1000, ALIVE_SECONDS = 10, NANOSECONDS = 1000000000 };

struct engine {
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t heartbeat, deadline;
    pthread_t thread;
    bool loop_is_open, thread_runs;
    atomic_uint_fast64_t last_turn;

    struct inbox inbox;

    /* The engine thread's own. */
    struct served_model *model;  /* held: the scheduler keeps contexts for it */
    struct served_model *before; /* held until nobody else does; NULL */
    struct scheduler scheduler;
    struct seats seats;
};

size_t engine_pool_size(size_t workers)
{
    return workers + 1;
}

static void job_ended(void *context)
{
    struct engine *engine = context;
    inbox_done(&engine->inbox);
}

static void deadline_passed(uv_timer_t *timer);

static void set_alarm(struct engine *engine, uint64_t now)
{
    uint64_t next = roster_next_deadline(&engine->scheduler.roster, now);
    if (next == ADMISSION_NEVER) {
        (void)uv_timer_stop(&engine->deadline);
        return;
    }
    uint64_t left = next > now ? next - now : 0;
    /* The loop's own time is as old as this turn, which may be milliseconds. */
    uv_update_time(&engine->loop);
    (void)uv_timer_start(&engine->deadline, deadline_passed, left / 1000000 + 1, 0);
}

/* Whoever is ready gets a worker; who is free helps. */
static void schedule(struct engine *engine)
{
    struct scheduler *scheduler = &engine->scheduler;
    uint64_t now = clock_now();
    size_t waiting;
    size_t rounds =
        scheduler_plan(scheduler, seats_count_free(&engine->seats), &waiting, now);
    for (size_t i = 0; i < rounds; i++) {
        struct seat *seat = seats_find_free(&engine->seats);
        scheduler_fill(scheduler, i, &seat->round, now);
        seats_lead(seat);
    }
    if (waiting > 0)
        seats_call_helpers_away(&engine->seats);
    else
        seats_send_helpers(&engine->seats);
    metrics_set(scheduler->setting.metrics, METRIC_WORKERS_BUSY,
                (double)seats_count_busy(&engine->seats));
    scheduler_publish(scheduler);
    set_alarm(engine, now);
}

static void deadline_passed(uv_timer_t *timer)
{
    struct engine *engine = timer->data;
    scheduler_check(&engine->scheduler, clock_now());
    schedule(engine);
}

static void seat_ended(void *context, struct round *round)
{
    struct engine *engine = context;
    if (round != NULL)
        scheduler_end_round(&engine->scheduler, round, clock_now());
    schedule(engine);
}

static void use_model(struct engine *engine, struct served_model *model)
{
    scheduler_use_model(&engine->scheduler, model);
    seats_require(&engine->seats, model->round.scratch);
    served_model_release(engine->before);
    engine->before = engine->model;
    engine->model = model;
}

static void divide_memory(struct engine *engine, const struct memory_plan *plan)
{
    engine->scheduler.setting.job_memory =
        memory_plan_for_jobs(plan, engine->model->setup.memory_limit);
}

/* With the last request that was made for it the model before goes, and its memory is for
 * requests again. */
static void let_model_go(struct engine *engine)
{
    if (engine->before == NULL || !served_model_has_one_holder(engine->before))
        return;
    served_model_release(engine->before);
    engine->before = NULL;
    struct memory_plan plan = engine->model->setup.plan;
    memory_plan_stay(&plan);
    divide_memory(engine, &plan);
}

static void quit(struct engine *engine)
{
    uv_close((uv_handle_t *)&engine->wake, NULL);
    uv_close((uv_handle_t *)&engine->heartbeat, NULL);
    uv_close((uv_handle_t *)&engine->deadline, NULL);
}

/* Sends coalesce: all that was submitted or ordered is taken, every time. */
static void woken(uv_async_t *async)
{
    struct engine *engine = async->data;
    struct scheduler *scheduler = &engine->scheduler;
    struct list jobs;
    struct list_node *node;
    list_init(&jobs);
    struct inbox_orders orders = inbox_take(&engine->inbox, &jobs);
    uint64_t now = clock_now();
    if (orders.model != NULL) {
        use_model(engine, orders.model);
        divide_memory(engine, &orders.model->setup.plan);
    }
    if (orders.mode != INBOX_OPEN)
        scheduler_cancel_all(scheduler, now);
    else
        scheduler_check(scheduler, now);
    while ((node = list_pop(&jobs)) != NULL)
        scheduler_take(scheduler, list_entry(node, struct job, node), now);
    if (orders.mode == INBOX_QUITTING)
        quit(engine);
    else
        schedule(engine);
}

static void beat(uv_timer_t *timer)
{
    struct engine *engine = timer->data;
    atomic_store(&engine->last_turn, clock_now());
    let_model_go(engine);
    scheduler_refresh(&engine->scheduler);
}

static void *run_loop(void *argument)
{
    struct engine *engine = argument;
    (void)uv_run(&engine->loop, UV_RUN_DEFAULT);
    return NULL;
}

static enum err_code start(struct engine *engine, struct err *err)
{
    int status = uv_loop_init(&engine->loop);
    if (status != 0)
        return err_set(err, ERR_INTERNAL, "uv_loop_init: %s", uv_strerror(status));
    engine->loop_is_open = true;
    engine->wake.data = engine->heartbeat.data = engine->deadline.data = engine;
    status = uv_async_init(&engine->loop, &engine->wake, woken);
    if (status != 0)
        return err_set(err, ERR_INTERNAL, "uv_async_init: %s", uv_strerror(status));
    (void)uv_timer_init(&engine->loop, &engine->deadline);
    (void)uv_timer_init(&engine->loop, &engine->heartbeat);
    (void)uv_timer_start(&engine->heartbeat, beat, 0, HEARTBEAT_MILLISECONDS);
    atomic_store(&engine->last_turn, clock_now());
    engine->thread_runs = pthread_create(&engine->thread, NULL, run_loop, engine) == 0;
    if (!engine->thread_runs)
        return err_set(err, ERR_INTERNAL, "cannot start the engine's thread");
    return ERR_OK;
}

enum err_code engine_create(struct engine **out,
                            const struct scheduler_setting *setting,
                            struct served_model *model,
                            struct err *err)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    struct scheduler_setting own = *setting;
    if (engine == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the engine");
    own.ended = job_ended;
    own.context = engine;
    inbox_init(&engine->inbox);
    engine->seats.loop = &engine->loop;
    engine->seats.ended = seat_ended;
    engine->seats.context = engine;
    enum err_code code = scheduler_init(&engine->scheduler, &own, err);
    if (code == ERR_OK)
        code = seats_init(&engine->seats, setting->workers, model->round.scratch, err);
    if (code == ERR_OK) {
        use_model(engine, served_model_hold(model));
        metrics_set(setting->metrics, METRIC_WORKERS, (double)setting->workers);
        code = start(engine, err);
    }
    if (code != ERR_OK) {
        engine_destroy(engine);
        return code;
    }
    *out = engine;
    return ERR_OK;
}

enum err_code
engine_submit(struct engine *engine, struct job *const *jobs, size_t n, struct err *err)
{
    struct list list;
    uint64_t now = clock_now();
    list_init(&list);
    for (size_t i = 0; i < n; i++) {
        struct job *job = jobs[i];
        uint64_t milliseconds = job->request.deadline_milliseconds;
        job->submitted = now;
        job->deadline = milliseconds == 0 ? 0 : now + milliseconds * 1000000;
        list_append(&list, &job->node);
    }
    enum err_code code = inbox_put(&engine->inbox, &list, n, err);
    if (code == ERR_OK)
        (void)uv_async_send(&engine->wake);
    return code;
}

void engine_abandon(struct engine *engine, struct job *job)
{
    atomic_store(&job->abandoned, true);
    (void)uv_async_send(&engine->wake);
}

void engine_drop(struct engine *engine, struct job *job)
{
    atomic_store(&job->dropped, true);
    (void)uv_async_send(&engine->wake);
}

void engine_use_model(struct engine *engine, struct served_model *model)
{
    served_model_release(inbox_put_model(&engine->inbox, served_model_hold(model)));
    (void)uv_async_send(&engine->wake);
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
    scheduler_finish(&engine->scheduler);
    served_model_release(inbox_put_model(&engine->inbox, NULL));
    served_model_release(engine->before);
    served_model_release(engine->model);
    inbox_finish(&engine->inbox);
    free(engine);
}

bool engine_is_alive(const struct engine *engine)
{
    /* The engine may store a later instant in between: in this order it can only be
     * older. */
    uint64_t last = atomic_load(&engine->last_turn);
    uint64_t silent = clock_now() - last;
    return silent < (uint64_t)ALIVE_SECONDS * NANOSECONDS;
}
