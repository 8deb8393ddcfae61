#include "server/http_report.h"

#include "base/clock.h"
#include "base/digest.h"
#include "server/log.h"

/* What was asked for, without the prompt's text. */
static void log_request(struct log_line *line, const struct job *job)
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
    log_count(line, "steps", job->facts.steps);
    log_count(line, "evaluations", job->facts.evaluations);
    log_count(line, "width", sampling->width);
    log_count(line, "height", sampling->height);
    log_text(line, "solver", solver_name(sampling->solver));
    log_real(line, "guidance", sampling->guidance);
    log_real(line, "queue_ms", clock_milliseconds(job->facts.queue));
    log_real(line, "encode_ms", clock_milliseconds(job->facts.encode));
    log_real(line, "steps_ms", clock_milliseconds(job->facts.stepping));
    log_real(line, "decode_ms", clock_milliseconds(job->facts.decode));
}

void http_report(const struct http_exchange *exchange)
{
    struct log_line line;
    size_t route = exchange->has_route ? exchange->route : ROUTE_COUNT;
    metrics_count_answer(exchange->shared->setting.metrics, route, exchange->status);
    /* Probes come every second and say nothing new while all is well. */
    if (exchange->has_route && exchange->route != ROUTE_GENERATE &&
        exchange->status == 200)
        return;
    log_begin(&line, exchange->status >= 500 ? "error" : "info", "request");
    log_text(&line, "request_id", exchange->request_id);
    log_text(&line, "method", exchange->method);
    log_text(&line, "route", exchange->has_route ? route_path(exchange->route) : "none");
    log_count(&line, "status", (uint64_t)exchange->status);
    log_count(&line, "bytes", exchange->answer_bytes);
    log_real(&line, "milliseconds", clock_milliseconds(clock_now() - exchange->arrived));
    if (exchange->problem.kind != PROBLEM_NONE) {
        log_text(&line, "problem", problem_type(exchange->problem.kind));
        log_text(&line, "field", exchange->problem.field);
    }
    if (exchange->job != NULL)
        log_request(&line, exchange->job);
    log_end(&line);
}
