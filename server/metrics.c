#include "server/metrics.h"

#include "server/metrics_text.h"
#include "server/process_metrics.h"

/* The statuses that are counted each on its own; 0 stands for all others. */
static const int statuses[METRIC_STATUSES] = {200, 204, 304, 400, 401, 404, 405,
                                              406, 408, 413, 414, 415, 422, 429,
                                              431, 499, 500, 503, 504, 0};

static const struct metric_row rows[METRIC_COUNT] = {
    [METRIC_IMAGES] = {"sluice_images", COUNTER, "Finished images.", NULL, {NULL}},
    [METRIC_EVALUATIONS] = {"sluice_evaluations",
                            COUNTER,
                            "Velocity evaluations, one an item of a batch.",
                            NULL,
                            {NULL}},
    [METRIC_WASTED_EVALUATIONS] = {"sluice_wasted_evaluations",
                                   COUNTER,
                                   "Evaluations of images that were not answered.",
                                   NULL,
                                   {NULL}},
    [METRIC_JOINED] = {"sluice_joined",
                       COUNTER,
                       "Images whose first step shared a round with others' later "
                       "steps.",
                       NULL,
                       {NULL}},
    [METRIC_SHARED] = {"sluice_shared",
                       COUNTER,
                       "Requests answered with an image that was made for another one.",
                       NULL,
                       {NULL}},
    [METRIC_REFUSALS] = {"sluice_refusals",
                         COUNTER,
                         "Requests that were not let in.",
                         "reason",
                         {"wait", "memory", "count", "deadline", "impossible", "rate",
                          "size"}},
    [METRIC_DEADLINES] = {"sluice_deadlines",
                          COUNTER,
                          "Images with a deadline that were let in, by how they ended.",
                          "outcome",
                          {"met", "missed"}},
    [METRIC_STEPS_LOWERED] = {"sluice_steps_lowered",
                              COUNTER,
                              "Images whose steps a deadline lowered.",
                              NULL,
                              {NULL}},
    [METRIC_CANCELED] = {"sluice_canceled",
                         COUNTER,
                         "Images that were let in and not made.",
                         "reason",
                         {"client", "deadline", "shutdown", "sibling", "internal"}},
    [METRIC_CONNECTIONS_CUT] = {"sluice_connections_cut",
                                COUNTER,
                                "Connections closed because their clients were too slow.",
                                "phase",
                                {"header", "body", "response"}},
    [METRIC_MODEL_RELOADS] = {"sluice_model_reloads",
                              COUNTER,
                              "Model folders that were opened in service.",
                              "outcome",
                              {"ok", "failed"}},
    [METRIC_QUEUE_LENGTH] =
        {"sluice_queue_length", GAUGE, "Images that wait to be drawn.", NULL, {NULL}},
    [METRIC_RUNNING] = {"sluice_running",
                        GAUGE,
                        "Images that are encoded, stepped or decoded.",
                        NULL,
                        {NULL}},
    [METRIC_WORKERS] = {"sluice_workers", GAUGE, "Computing threads.", NULL, {NULL}},
    [METRIC_WORKERS_BUSY] = {"sluice_workers_busy",
                             GAUGE,
                             "Computing threads that lead a round or help with one.",
                             NULL,
                             {NULL}},
    [METRIC_CONTEXT_CACHE_BYTES] =
        {"sluice_context_cache_bytes", GAUGE, "Encoded prompts kept.", NULL, {NULL}},
    [METRIC_REQUEST_BYTES] = {"sluice_request_bytes",
                              GAUGE,
                              "Memory that is set aside for the requests under way.",
                              NULL,
                              {NULL}},
    [METRIC_REQUEST_BYTES_LIMIT] = {"sluice_request_limit_bytes",
                                    GAUGE,
                                    "Memory that requests under way may have together.",
                                    NULL,
                                    {NULL}},
    [METRIC_PREDICTED_WAIT] = {"sluice_predicted_wait_seconds",
                               GAUGE,
                               "Work that is promised, by the workers that do it.",
                               NULL,
                               {NULL}},
    [METRIC_CAPACITY] = {"sluice_capacity_images_per_second",
                         GAUGE,
                         "Images of the model's defaults that all workers make, by what "
                         "rounds cost at present.",
                         NULL,
                         {NULL}},
};

#define SECONDS                                                                          \
    {                                                                                    \
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,  \
            300                                                                          \
    }

static const struct histogram_row histogram_rows[HISTOGRAM_COUNT] = {
    [HISTOGRAM_BATCH_REQUESTS] = {"sluice_batch_requests",
                                  "Requests stepped by one round.",
                                  NULL,
                                  {NULL},
                                  {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64}},
    [HISTOGRAM_ROUND] = {"sluice_round_seconds",
                         "Duration of a round by its work.",
                         "work",
                         {"decode", "encode", "step"},
                         SECONDS},
    [HISTOGRAM_STEP_ROUND] = {"sluice_step_round_seconds",
                              "Duration of a step round by the requests in it.",
                              "batch",
                              {"1", "2-3", "4-7", "8-15", "16-31", "32-63", "64"},
                              SECONDS},
    [HISTOGRAM_QUEUE_WAIT] = {"sluice_queue_wait_seconds",
                              "From a request's last byte until its work began.",
                              NULL,
                              {NULL},
                              SECONDS},
    [HISTOGRAM_PHASE] = {"sluice_phase_seconds",
                         "Where an image's time went.",
                         "phase",
                         {"queue", "encode", "steps", "decode"},
                         SECONDS},
    [HISTOGRAM_REQUEST] = {"sluice_request_seconds",
                           "From the last byte of a request to its finished image.",
                           NULL,
                           {NULL},
                           SECONDS},
    [HISTOGRAM_PREDICTION] = {"sluice_prediction_ratio",
                              "An image's time by that which was predicted when it was "
                              "let in.",
                              NULL,
                              {NULL},
                              {0.25, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.7, 2, 3, 5,
                               10}},
};

static uint_fast64_t millionths(double value)
{
    return value > 0.0 ? (uint_fast64_t)(value * 1e6 + 0.5) : 0;
}

void metrics_count_answer(struct metrics *metrics, size_t route, int status)
{
    size_t i = 0;
    while (statuses[i] != status && statuses[i] != 0)
        i++;
    atomic_fetch_add(&metrics->answers[route][i], 1);
}

void metrics_add(struct metrics *metrics, enum metric metric, size_t label, double value)
{
    atomic_fetch_add(&metrics->values[metric][label], millionths(value));
}

void metrics_set(struct metrics *metrics, enum metric metric, double value)
{
    atomic_store(&metrics->values[metric][0], millionths(value));
}

void metrics_observe(struct metrics *metrics,
                     enum metric_histogram histogram,
                     size_t label,
                     double value)
{
    struct histogram *into = &metrics->histograms[histogram][label];
    const double *bounds = histogram_rows[histogram].bounds;
    size_t n = metrics_bound_count(bounds), i = 0;
    while (i < n && value > bounds[i])
        i++;
    atomic_fetch_add(&into->counts[i], 1);
    atomic_fetch_add(&into->sum, millionths(value));
}

static void write_answers(const struct metrics *metrics, const struct metrics_text *text)
{
    static const struct metric_row row = {"sluice_http_requests",
                                          COUNTER,
                                          "Answered requests by route and status.",
                                          NULL,
                                          {NULL}};
    metrics_text_head(text, &row);
    for (size_t r = 0; r <= ROUTE_COUNT; r++) {
        const char *route = r < ROUTE_COUNT ? route_path((enum route)r) : "other";
        for (size_t s = 0; s < METRIC_STATUSES; s++) {
            uint64_t count = atomic_load(&metrics->answers[r][s]);
            if (count > 0)
                (void)buf_print(
                    text->out,
                    "sluice_http_requests_total{route=\"%s\",status=\"%d\"} %llu\n",
                    route, statuses[s], (unsigned long long)count);
        }
    }
}

static void write_build(const struct metrics_reader *reader,
                        const struct metrics_text *text)
{
    static const struct metric_row row = {
        "sluice_build_info", GAUGE, "What runs: always 1.", NULL, {NULL}};
    metrics_text_head(text, &row);
    (void)buf_print(text->out,
                    "sluice_build_info{version=\"%s\",family=\"%s\",digest=\"%s\","
                    "kernels=\"%s\"} 1\n",
                    reader->version, reader->info->family, reader->info->digest,
                    reader->info->kernels);
}

void metrics_write(const struct metrics *metrics,
                   const struct metrics_reader *reader,
                   struct buf *out)
{
    struct metrics_text text = {out, reader->wants_openmetrics};
    write_build(reader, &text);
    write_answers(metrics, &text);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        metrics_text_values(&text, &rows[i], metrics->values[i]);
    for (size_t i = 0; i < HISTOGRAM_COUNT; i++)
        metrics_text_histogram(&text, &histogram_rows[i], metrics->histograms[i]);
    process_metrics_write(&text);
    if (reader->wants_openmetrics)
        (void)buf_print(out, "# EOF\n");
}
