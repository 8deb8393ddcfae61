#include "base/clock.h"
#include "server/commands.h"
#include "server/engine.h"
#include "server/http.h"
#include "server/log.h"
#include "server/machine.h"
#include "server/metrics.h"
#include "server/reload.h"
#include "server/served_model.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    SPARE_CONNECTIONS = 128, /* beyond those whose requests the engine may have */
    OWN_DESCRIPTORS = 192,   /* the operator's port, files, events */
    LEAST_CONNECTIONS = 16,
    LAST_ANSWERS = 2, /* seconds */
    NANOSECONDS = 1000000000
};

struct server {
    const struct options *options;
    struct model_shelf shelf;
    size_t workers;
    struct metrics metrics;
    struct engine *engine;
    struct api_keys *keys;
    struct http *http;
    struct reload reload;
};

/* Blocks the signal in the thread that got it, also when this returns, and gives it back
 * to the process, where the main thread waits for it. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    (void)info;
    (void)sigaddset(&interrupted->uc_sigmask, number);
    (void)kill(getpid(), number);
}

/* Nothing was accepted yet that would have to be finished. A handler, since a container's
 * first process is not ended by a signal's default. */
static void give_up(int number)
{
    _exit(128 + number);
}

/* While a model is read, which may take minutes; block_signals ends it. */
static void let_signals_end(void)
{
    struct sigaction action = {.sa_handler = give_up};
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* The threads that start from now on inherit the mask. A library's that were started
 * before main (OpenBLAS has some) do not, and get the handler. */
static void block_signals(sigset_t *set)
{
    struct sigaction action = {.sa_sigaction = pass_on,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
    action.sa_mask = *set;
    (void)pthread_sigmask(SIG_BLOCK, set, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* The shelf keeps the model. */
static enum err_code open_model(struct server *server, struct err *err)
{
    const struct options *options = server->options;
    enum err_code code = served_model_open(&server->shelf.model, options,
                                           (size_t)options->workers, NULL, err);
    if (code == ERR_OK)
        server->workers = server->shelf.model->setup.plan.workers;
    return code;
}

static enum err_code start_engine(struct server *server, struct err *err)
{
    const struct options *options = server->options;
    const struct model_setup *setup = &server->shelf.model->setup;
    char threads[16];
    (void)snprintf(threads, sizeof(threads), "%zu", engine_pool_size(server->workers));
    if (setenv("UV_THREADPOOL_SIZE", threads, 1) != 0)
        return err_set(err, ERR_NO_MEMORY, "no memory for the environment");
    struct scheduler_setting setting = {
        .workers = server->workers,
        .max_batch = options->max_batch,
        .queue = options->queue,
        .job_memory = memory_plan_for_jobs(&setup->plan, setup->memory_limit),
        .max_wait = options->max_wait * NANOSECONDS,
        .context_cache = options->context_cache,
        .metrics = &server->metrics,
    };
    return engine_create(&server->engine, &setting, server->shelf.model, err);
}

/* As many as descriptors are left for: beyond that no connection is accepted on either
 * port, and probes would fail because clients are many. */
static unsigned limit_connections(size_t wanted)
{
    size_t descriptors = machine_raise_descriptors();
    size_t most = descriptors > OWN_DESCRIPTORS + LEAST_CONNECTIONS
                      ? descriptors - OWN_DESCRIPTORS
                      : LEAST_CONNECTIONS;
    if (wanted <= most)
        return (unsigned)wanted;
    char text[160];
    (void)snprintf(text, sizeof(text),
                   "%zu connections are wanted, but of %zu file descriptors only %zu are "
                   "for them: raise the limit (ulimit -n, LimitNOFILE)",
                   wanted, descriptors, most);
    log_message("warning", "connections", text);
    return (unsigned)most;
}

static enum err_code start_http(struct server *server, struct err *err)
{
    const struct options *options = server->options;
    enum err_code code = ERR_OK;
    if (options->api_keys[0] != '\0')
        code = api_keys_open(&server->keys, options->api_keys, clock_now(), err);
    if (code != ERR_OK)
        return code;
    struct http_setting setting = {
        .host = options->host,
        .port = (uint16_t)options->port,
        .admin_port = (uint16_t)options->admin_port,
        .connections = limit_connections(2 * server->workers * options->max_batch +
                                         options->queue + SPARE_CONNECTIONS),
        .metrics_on_service = options->metrics_on_service,
        .allow_half_close = options->allow_half_close,
        .header_timeout = options->header_timeout,
        .body_timeout = options->body_timeout,
        .response_timeout = options->response_timeout,
        .keys = server->keys,
        .version = SLUICE_VERSION,
        .cors_origin = options->cors_origin,
        .public_url = options->public_url,
        .shelf = &server->shelf,
        .engine = server->engine,
        .metrics = &server->metrics,
    };
    return http_create(&server->http, &setting, err);
}

static void log_start(const struct server *server, uint64_t took)
{
    const struct served_model *model = server->shelf.model;
    const struct bundle_info *info = bundle_info(model->round.bundle);
    struct log_line line;
    log_begin(&line, "info", "ready");
    log_text(&line, "version", SLUICE_VERSION);
    log_text(&line, "model", info->name);
    log_text(&line, "digest", info->digest);
    log_text(&line, "host", server->options->host);
    log_count(&line, "port", http_port(server->http, ROUTE_SERVICE));
    log_count(&line, "admin_port", http_port(server->http, ROUTE_OPERATOR));
    log_count(&line, "workers", server->workers);
    log_count(&line, "memory_bytes", model->setup.plan.total);
    log_real(&line, "milliseconds", clock_milliseconds(took));
    log_end(&line);
}

/* Waits for a signal to stop, at most this long; false when the time is over. A signal to
 * reload comes too late now. */
static bool wait_for_signal(const sigset_t *set, uint64_t seconds)
{
    uint64_t end = clock_now() + seconds * NANOSECONDS;
    int signal_number;
    do {
        uint64_t now = clock_now(), left = now < end ? end - now : 0;
        struct timespec time = {.tv_sec = (time_t)(left / NANOSECONDS),
                                .tv_nsec = (long)(left % NANOSECONDS)};
        signal_number = sigtimedwait(set, NULL, &time);
    } while (signal_number == SIGHUP || (signal_number < 0 && errno == EINTR));
    return signal_number > 0;
}

/* Waits until the engine is idle, a second signal comes, or the time is over. */
static bool finish_work(const struct server *server, const sigset_t *set, uint64_t end)
{
    while (!engine_wait_idle(server->engine, 100)) {
        if (clock_now() >= end || wait_for_signal(set, 0))
            return false;
    }
    return true;
}

/* The same until all answers are with their clients, who may be slow to read; a moment is
 * given in any case. */
static bool finish_answers(const struct server *server, const sigset_t *set, uint64_t end)
{
    uint64_t least = clock_now() + LAST_ANSWERS * NANOSECONDS;
    bool impatient = false;
    while (!http_wait_answered(server->http, 100)) {
        impatient = impatient || wait_for_signal(set, 0);
        if (clock_now() >= least && (impatient || clock_now() >= end))
            return false;
    }
    return true;
}

/* Readiness fails, a load balancer has time to see it, the listener closes, and what was
 * accepted is finished. A second signal, or the time limit, cuts it short. True when all
 * were answered. */
static bool drain(struct server *server, const sigset_t *set)
{
    log_message("info", "draining", "readiness fails; requests are still served");
    http_start_draining(server->http);
    bool impatient = wait_for_signal(set, server->options->drain_delay);
    http_refuse(server->http);
    uint64_t end = clock_now() + server->options->drain_timeout * NANOSECONDS;
    impatient = impatient || !finish_work(server, set, end);
    if (impatient)
        log_message("warning", "canceling", "requests that are left get 503");
    /* Who was let in before the listener closed may still hand over a request. */
    engine_cancel_all(server->engine);
    /* Canceled work stops at the next block of the model. */
    while (!engine_wait_idle(server->engine, 1000))
        continue;
    return finish_answers(server, set, impatient ? 0 : end);
}

static void stop(struct server *server)
{
    reload_finish(&server->reload);
    http_destroy(server->http);
    api_keys_close(server->keys);
    engine_destroy(server->engine);
    model_shelf_finish(&server->shelf);
}

/* Until a signal to stop comes. */
static void serve(struct server *server, const sigset_t *signals)
{
    int received;
    server->reload = (struct reload){
        .options = server->options,
        .shelf = &server->shelf,
        .engine = server->engine,
        .metrics = &server->metrics,
    };
    while (sigwait(signals, &received) == 0 && received == SIGHUP)
        reload_start(&server->reload);
}

int serve_run(const struct options *options)
{
    struct server server = {.options = options};
    struct err err = {0};
    sigset_t signals;
    uint64_t start = clock_now();
    block_signals(&signals);
    log_writer_start();
    model_shelf_init(&server.shelf, NULL);
    let_signals_end();
    enum err_code code = open_model(&server, &err);
    block_signals(&signals);
    if (code == ERR_OK)
        code = start_engine(&server, &err);
    if (code == ERR_OK)
        code = start_http(&server, &err);
    if (code != ERR_OK) {
        log_message("error", "start", err.message);
        (void)fprintf(stderr, "sluice: %s\n", err.message);
        stop(&server);
        log_writer_stop();
        return 1;
    }
    log_start(&server, clock_now() - start);
    serve(&server, &signals);
    bool all_answered = drain(&server, &signals);
    bool is_reloading = reload_leave(&server.reload);
    if (!is_reloading) /* else a model is being read, which may take minutes */
        stop(&server);
    log_message(all_answered ? "info" : "warning", "stopped",
                all_answered ? "all accepted requests are answered"
                             : "answers that clients were slow to read were cut off");
    log_writer_stop();
    if (is_reloading)
        _exit(0);
    return 0;
}
