/*
 * metrics - what is counted and measured: one row a name, and their texts for Prometheus
 * and OpenMetrics.
 *
 * Threads: any may count; values are atomics and a reading is no snapshot, as Prometheus
 * allows. Ownership: the struct is its owner's, nothing is allocated.
 */
#ifndef SLUICE_SERVER_METRICS_H
#define SLUICE_SERVER_METRICS_H

#include "api/route.h"
#include "base/buf.h"
#include "model/bundle.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counters and gauges. Those with a label have one value for each of its words. */
enum metric {
    METRIC_IMAGES,
    METRIC_EVALUATIONS,
    METRIC_WASTED_EVALUATIONS,
    METRIC_JOINED,
    METRIC_SHARED,
    METRIC_REFUSALS,  /* by enum refusal */
    METRIC_DEADLINES, /* by enum metric_deadline */
    METRIC_STEPS_LOWERED,
    METRIC_CANCELED,        /* by enum metric_canceled */
    METRIC_CONNECTIONS_CUT, /* by enum metric_cut */
    METRIC_MODEL_RELOADS,   /* by enum metric_reload */
    METRIC_QUEUE_LENGTH,
    METRIC_RUNNING,
    METRIC_WORKERS,
    METRIC_WORKERS_BUSY,
    METRIC_CONTEXT_CACHE_BYTES,
    METRIC_REQUEST_BYTES,
    METRIC_REQUEST_BYTES_LIMIT,
    METRIC_PREDICTED_WAIT, /* seconds */
    METRIC_CAPACITY,       /* images a second */
    METRIC_COUNT
};

enum metric_deadline { METRIC_DEADLINE_MET, METRIC_DEADLINE_MISSED };
enum metric_canceled {
    METRIC_CANCELED_CLIENT,
    METRIC_CANCELED_DEADLINE,
    METRIC_CANCELED_SHUTDOWN,
    METRIC_CANCELED_SIBLING, /* another image of its request was not made */
    METRIC_CANCELED_INTERNAL
};
enum metric_cut { METRIC_CUT_HEADER, METRIC_CUT_BODY, METRIC_CUT_RESPONSE };
enum metric_reload { METRIC_RELOAD_OK, METRIC_RELOAD_FAILED };

enum metric_histogram {
    HISTOGRAM_BATCH_REQUESTS,
    HISTOGRAM_ROUND,      /* seconds; by enum batcher_work */
    HISTOGRAM_STEP_ROUND, /* seconds; by floor(log2(requests)) */
    HISTOGRAM_QUEUE_WAIT, /* seconds */
    HISTOGRAM_PHASE,      /* seconds; by enum metric_phase */
    HISTOGRAM_REQUEST,    /* seconds */
    HISTOGRAM_PREDICTION, /* actual by predicted time */
    HISTOGRAM_COUNT
};

enum metric_phase {
    METRIC_PHASE_QUEUE,
    METRIC_PHASE_ENCODE,
    METRIC_PHASE_STEPS,
    METRIC_PHASE_DECODE
};

enum { METRIC_LABELS = 8, METRIC_BUCKETS = 16, METRIC_STATUSES = 20 };

/* Counts of values up to each bound. */
struct histogram {
    atomic_uint_fast64_t counts[METRIC_BUCKETS + 1]; /* the last: above all bounds */
    atomic_uint_fast64_t sum;                        /* in millionths */
};

/* Values are kept in millionths, which hold for 500,000 years of seconds. All zero is a
 * fresh one. */
struct metrics {
    /* Answers by route (the last row: no route) and by status. */
    atomic_uint_fast64_t answers[ROUTE_COUNT + 1][METRIC_STATUSES];
    atomic_uint_fast64_t values[METRIC_COUNT][METRIC_LABELS];
    struct histogram histograms[HISTOGRAM_COUNT][METRIC_LABELS];
};

/* route: ROUTE_COUNT when the request had none. */
void metrics_count_answer(struct metrics *metrics, size_t route, int status);

/* label: the word's number; 0 where there is none. */
void metrics_add(struct metrics *metrics, enum metric metric, size_t label, double value);
void metrics_set(struct metrics *metrics, enum metric metric, double value);
void metrics_observe(struct metrics *metrics,
                     enum metric_histogram histogram,
                     size_t label,
                     double value);

/* What a reading is written for. */
struct metrics_reader {
    const struct bundle_info *info;
    const char *version;
    bool wants_openmetrics;
};

/* The text exposition format 0.0.4, or OpenMetrics 1.0. */
void metrics_write(const struct metrics *metrics,
                   const struct metrics_reader *reader,
                   struct buf *out);

#define METRICS_TEXT        "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

#endif
