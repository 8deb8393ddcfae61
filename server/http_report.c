#include "server/http_report.h"

#include "base/clock.h"
#include "base/digest.h"
#include "sampler/solver.h"
#include "server/http_route.h"
#include "server/log.h"

#include <string.h>

/* What was asked for, without the prompt's text; and what was done, when that is known:
 * a stream's client may leave before. */
static void log_request(struct log_line *line, const struct job *job, bool is_over)
{
    const struct request *request = &job->request;
    const struct sampling *sampling = &request->sampling;
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    digest_init(&digest);
    digest_add(&digest, request->prompt, request->prompt_bytes);
    digest_finish(&digest, text);
    text[16] = '\0';
    log_count(line, "prompt_bytes", request->prompt_bytes);
    log_text(line, "prompt_digest", text);
    log_count(line, "seed", sampling->seed);
    log_count(line, "width", sampling->width);
    log_count(line, "height", sampling->height);
    log_text(line, "solver", solver_name(sampling->solver));
    log_real(line, "guidance", sampling->guidance);
    if (!is_over)
        return;
    log_count(line, "steps", job->facts.steps);
    log_count(line, "evaluations", job->facts.evaluations);
    log_real(line, "queue_ms", clock_milliseconds(job->facts.queue));
    log_real(line, "encode_ms", clock_milliseconds(job->facts.encode));
    log_real(line, "steps_ms", clock_milliseconds(job->facts.stepping));
    log_real(line, "decode_ms", clock_milliseconds(job->facts.decode));
}

/* What an event stream ended with, whose status was told long before. */
static const struct problem *stream_problem(const struct http_exchange *exchange)
{
    struct http_images *images = exchange->images;
    if (images == NULL || !images->is_streaming || !http_images_are_over(images) ||
        images->failed == NULL)
        return NULL;
    return &images->failed->problem;
}

static void log_exchange(const struct http_exchange *exchange, const char *outcome)
{
    struct log_line line;
    const struct problem *late = stream_problem(exchange);
    const struct problem *problem = late != NULL ? late : &exchange->problem;
    int status = late != NULL ? problem_status(late->kind) : exchange->status;
    if (late != NULL && outcome == NULL)
        outcome = late->kind == PROBLEM_CLIENT_GONE ? "client-gone" : "failed";
    log_begin(&line, status >= 500 ? "error" : "info", "request");
    log_text(&line, "request_id", exchange->request_id);
    log_text(&line, "method", exchange->method);
    log_text(&line, "route", exchange->has_route ? route_path(exchange->route) : "none");
    log_count(&line, "status", (uint64_t)exchange->status);
    bool has_body = strcmp(exchange->method, "HEAD") != 0;
    log_count(&line, "bytes", has_body ? exchange->answer_bytes : 0);
    log_real(&line, "milliseconds", clock_milliseconds(clock_now() - exchange->arrived));
    if (exchange->key != NULL)
        log_text(&line, "key", exchange->key->name);
    if (outcome != NULL)
        log_text(&line, "outcome", outcome);
    if (problem->kind != PROBLEM_NONE) {
        log_text(&line, "problem", problem_type(problem->kind));
        if (!problem->is_stranger)
            log_text(&line, "field", problem->field);
    }
    if (exchange->images != NULL)
        log_request(&line, exchange->images->jobs[0],
                    http_images_are_over(exchange->images));
    log_end(&line);
}

/* What libmicrohttpd answered by itself (to a chunk's size that is none), or what would
 * say best why nothing was: 408 when the request took too long, else 499. */
static int status_without_answer(const struct http_exchange *exchange,
                                 const char *outcome)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_HTTP_STATUS);
    if (info != NULL && info->http_status != 0)
        return (int)info->http_status;
    return outcome != NULL && strcmp(outcome, "too-slow") == 0
               ? 408
               : problem_status(PROBLEM_CLIENT_GONE);
}

void http_report(struct http_exchange *exchange, const char *outcome)
{
    if (exchange->state == EXCHANGE_HEAD)
        return;
    if (exchange->status == 0)
        exchange->status = status_without_answer(exchange, outcome);
    metrics_count_answer(exchange->shared->setting.metrics,
                         exchange->has_route ? exchange->route : ROUTE_COUNT,
                         exchange->status);
    bool is_quiet = exchange->has_route && http_route(exchange->route)->is_quiet;
    if (!is_quiet || exchange->status != 200)
        log_exchange(exchange, outcome);
}
