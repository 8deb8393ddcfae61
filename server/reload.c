#include "server/reload.h"

#include "base/clock.h"
#include "server/log.h"

static void log_success(const struct served_model *model, uint64_t took)
{
    const struct bundle_info *info = bundle_info(model->round.bundle);
    struct log_line line;
    log_begin(&line, "info", "reloaded");
    log_text(&line, "model", info->name);
    log_text(&line, "digest", info->digest);
    log_real(&line, "milliseconds", clock_milliseconds(took));
    log_end(&line);
}

static enum err_code replace_model(struct reload *reload, struct err *err)
{
    uint64_t start = clock_now();
    struct served_model *before = model_shelf_take(reload->shelf), *model;
    enum err_code code = served_model_open(
        &model, reload->options, before->setup.plan.workers, &before->setup.plan, err);
    served_model_release(before);
    if (code != ERR_OK)
        return code;
    engine_use_model(reload->engine, model);
    model_shelf_put(reload->shelf, model);
    /* The shelf keeps it until another reload, which this thread's end comes before. */
    log_success(model, clock_now() - start);
    return ERR_OK;
}

static void *run(void *argument)
{
    struct reload *reload = argument;
    struct err err;
    bool is_replaced = replace_model(reload, &err) == ERR_OK;
    metrics_add(reload->metrics, METRIC_MODEL_RELOADS,
                is_replaced ? METRIC_RELOAD_OK : METRIC_RELOAD_FAILED, 1.0);
    if (!is_replaced)
        log_message("error", "reload", err.message);
    atomic_store(&reload->is_under_way, false);
    return NULL;
}

void reload_start(struct reload *reload)
{
    if (atomic_exchange(&reload->is_under_way, true)) {
        log_message("warning", "reload", "one is under way; this one is not begun");
        return;
    }
    reload_finish(reload);
    reload->has_thread = pthread_create(&reload->thread, NULL, run, reload) == 0;
    if (!reload->has_thread) {
        log_message("error", "reload", "cannot start a thread for it");
        atomic_store(&reload->is_under_way, false);
    }
}

void reload_finish(struct reload *reload)
{
    if (reload->has_thread)
        (void)pthread_join(reload->thread, NULL);
    reload->has_thread = false;
}

bool reload_leave(struct reload *reload)
{
    if (!atomic_load(&reload->is_under_way))
        return false;
    (void)pthread_detach(reload->thread);
    reload->has_thread = false;
    return true;
}
