/*
 * metrics - what is counted and measured, and its text for Prometheus.
 *
 * Threads: any may count; values are atomics and a reading is no snapshot, as Prometheus
 * allows. Ownership: the struct is its owner's, nothing is allocated.
 */
#ifndef SLUICE_SERVER_METRICS_H
#define SLUICE_SERVER_METRICS_H

#include "api/problem.h"
#include "api/route.h"
#include "base/buf.h"
#include "model/bundle.h"
#include "server/batcher.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { METRICS_MAX_BUCKETS = 16, METRICS_STATUSES = 16 };

/* Counts of values up to each bound; sums are kept in millionths, which hold for 500,000
 * years of seconds. */
struct metrics_histogram {
    atomic_uint_fast64_t counts[METRICS_MAX_BUCKETS + 1]; /* the last: above all bounds */
    atomic_uint_fast64_t sum_millionths;
};

struct metrics {
    /* Answers by route (the last row: no route) and by status. */
    atomic_uint_fast64_t answers[ROUTE_COUNT + 1][METRICS_STATUSES];
    atomic_uint_fast64_t images, evaluations, joined;
    struct metrics_histogram batch;                      /* requests of a step round */
    struct metrics_histogram rounds[BATCHER_WORK_COUNT]; /* seconds */
    struct metrics_histogram request;                    /* seconds, of answered images */
    /* Now: kept by the engine. */
    atomic_size_t queued, running, context_bytes;
};

/* route: ROUTE_COUNT when the request had none. */
void metrics_count_answer(struct metrics *metrics, size_t route, int status);

void metrics_observe_batch(struct metrics *metrics, size_t requests);
void metrics_observe_round(struct metrics *metrics,
                           enum batcher_work work,
                           uint64_t took);
void metrics_observe_request(struct metrics *metrics, uint64_t took);

/* The text exposition format, version 0.0.4. */
void metrics_write(const struct metrics *metrics,
                   const struct bundle_info *info,
                   const char *version,
                   struct buf *out);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
