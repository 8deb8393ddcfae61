#include "server/http_operator.h"

#include "api/accept.h"
#include "server/http_answer.h"

enum MHD_Result http_operator_live(struct http_exchange *exchange)
{
    bool alive = engine_is_alive(exchange->shared->setting.engine);
    return http_answer_text(exchange, alive ? 200 : 503,
                            alive ? "ok" : "the engine's loop is stuck");
}

enum MHD_Result http_operator_ready(struct http_exchange *exchange)
{
    if (atomic_load(&exchange->shared->stage) != HTTP_SERVING)
        return http_answer_text(exchange, 503, "shutting down");
    return http_operator_live(exchange);
}

/* OpenMetrics is for those who name it and like it no less than plain text. */
static bool wants_openmetrics(const char *accept)
{
    bool is_named;
    unsigned quality = accept_quality(accept, "application/openmetrics-text", &is_named);
    return is_named && quality > 0 &&
           quality >= accept_quality(accept, "text/plain", NULL);
}

enum MHD_Result http_operator_metrics(struct http_exchange *exchange)
{
    const struct http_setting *setting = &exchange->shared->setting;
    struct buf body;
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    exchange->model = model_shelf_take(setting->shelf);
    struct metrics_reader reader = {
        .info = bundle_info(exchange->model->round.bundle),
        .version = setting->version,
        .wants_openmetrics = wants_openmetrics(http_exchange_accept(exchange)),
    };
    metrics_write(setting->metrics, &reader, &body);
    return http_answer_send(exchange, http_answer_from(exchange, &body),
                            reader.wants_openmetrics ? METRICS_OPENMETRICS : METRICS_TEXT,
                            200);
}
