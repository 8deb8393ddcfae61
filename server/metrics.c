#include "server/metrics.h"

/* The statuses that are counted each on its own; 0 stands for all others. */
static const int statuses[METRICS_STATUSES] = {200, 400, 401, 404, 405, 406, 413, 415,
                                               422, 429, 500, 503, 504, 499, 431, 0};

static const double batch_bounds[METRICS_MAX_BUCKETS] = {1,  2,  3,  4,  6, 8,
                                                         12, 16, 24, 32, 64};
static const double second_bounds[METRICS_MAX_BUCKETS] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};

static const char *const work_names[BATCHER_WORK_COUNT] = {
    [BATCHER_DECODE] = "decode", [BATCHER_ENCODE] = "encode", [BATCHER_STEP] = "step"};

/* Bounds end where the next is not larger. */
static size_t bound_count(const double *bounds)
{
    size_t n = 1;
    while (n < METRICS_MAX_BUCKETS && bounds[n] > bounds[n - 1])
        n++;
    return n;
}

static void
observe(struct metrics_histogram *histogram, const double *bounds, double value)
{
    size_t n = bound_count(bounds), i = 0;
    while (i < n && value > bounds[i])
        i++;
    atomic_fetch_add(&histogram->counts[i], 1);
    atomic_fetch_add(&histogram->sum_millionths, (uint_fast64_t)(value * 1e6 + 0.5));
}

void metrics_count_answer(struct metrics *metrics, size_t route, int status)
{
    size_t i = 0;
    while (statuses[i] != status && statuses[i] != 0)
        i++;
    atomic_fetch_add(&metrics->answers[route][i], 1);
}

void metrics_observe_batch(struct metrics *metrics, size_t requests)
{
    observe(&metrics->batch, batch_bounds, (double)requests);
}

void metrics_observe_round(struct metrics *metrics, enum batcher_work work, uint64_t took)
{
    observe(&metrics->rounds[work], second_bounds, (double)took / 1e9);
}

void metrics_observe_request(struct metrics *metrics, uint64_t took)
{
    observe(&metrics->request, second_bounds, (double)took / 1e9);
}

static void
write_head(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)buf_print(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_value(
    struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    write_head(out, name, type, help);
    (void)buf_print(out, "%s %llu\n", name, (unsigned long long)value);
}

/* label is "" or ends in a comma: `work="step",`. */
static void write_histogram(struct buf *out,
                            const char *name,
                            const char *label,
                            const struct metrics_histogram *histogram,
                            const double *bounds)
{
    uint64_t total = 0;
    size_t n = bound_count(bounds);
    for (size_t i = 0; i < n; i++) {
        total += atomic_load(&histogram->counts[i]);
        (void)buf_print(out, "%s_bucket{%sle=\"%g\"} %llu\n", name, label, bounds[i],
                        (unsigned long long)total);
    }
    total += atomic_load(&histogram->counts[n]);
    (void)buf_print(out, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, label,
                    (unsigned long long)total);
    (void)buf_print(out, "%s_sum{%s} %.6f\n", name, label,
                    (double)atomic_load(&histogram->sum_millionths) / 1e6);
    (void)buf_print(out, "%s_count{%s} %llu\n", name, label, (unsigned long long)total);
}

static void write_answers(const struct metrics *metrics, struct buf *out)
{
    static const char name[] = "sluice_http_requests_total";
    write_head(out, name, "counter", "Answered requests by route and status.");
    for (size_t r = 0; r <= ROUTE_COUNT; r++) {
        const char *route = r < ROUTE_COUNT ? route_path((enum route)r) : "other";
        for (size_t s = 0; s < METRICS_STATUSES; s++) {
            uint64_t count = atomic_load(&metrics->answers[r][s]);
            if (count > 0)
                (void)buf_print(out, "%s{route=\"%s\",status=\"%d\"} %llu\n", name, route,
                                statuses[s], (unsigned long long)count);
        }
    }
}

static void write_histograms(const struct metrics *metrics, struct buf *out)
{
    write_head(out, "sluice_batch_requests", "histogram",
               "Requests stepped by one round.");
    write_histogram(out, "sluice_batch_requests", "", &metrics->batch, batch_bounds);
    write_head(out, "sluice_round_seconds", "histogram",
               "Duration of a round by its work.");
    for (size_t work = 0; work < BATCHER_WORK_COUNT; work++) {
        struct buf label;
        buf_init(&label, 64);
        if (buf_print(&label, "work=\"%s\",", work_names[work]))
            write_histogram(out, "sluice_round_seconds", label.data,
                            &metrics->rounds[work], second_bounds);
        buf_finish(&label);
    }
    write_head(out, "sluice_request_seconds", "histogram",
               "From the last byte of a request to its finished image.");
    write_histogram(out, "sluice_request_seconds", "", &metrics->request, second_bounds);
}

void metrics_write(const struct metrics *metrics,
                   const struct bundle_info *info,
                   const char *version,
                   struct buf *out)
{
    write_head(out, "sluice_build_info", "gauge", "What runs: always 1.");
    (void)buf_print(out,
                    "sluice_build_info{version=\"%s\",family=\"%s\",digest=\"%s\"} 1\n",
                    version, info->family, info->digest);
    write_answers(metrics, out);
    write_value(out, "sluice_images_total", "counter", "Finished images.",
                atomic_load(&metrics->images));
    write_value(out, "sluice_evaluations_total", "counter",
                "Velocity evaluations, one an item of a batch.",
                atomic_load(&metrics->evaluations));
    write_value(out, "sluice_joined_total", "counter",
                "Requests whose first step shared a round with others' later steps.",
                atomic_load(&metrics->joined));
    write_value(out, "sluice_queue_length", "gauge", "Requests that wait to run.",
                atomic_load(&metrics->queued));
    write_value(out, "sluice_running", "gauge",
                "Requests that are encoded, stepped or decoded.",
                atomic_load(&metrics->running));
    write_value(out, "sluice_context_cache_bytes", "gauge", "Encoded prompts kept.",
                atomic_load(&metrics->context_bytes));
    write_histograms(metrics, out);
}
