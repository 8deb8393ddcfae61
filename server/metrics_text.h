/*
 * metrics_text - rows of metrics as text: Prometheus' exposition format 0.0.4, or
 * OpenMetrics 1.0, where a counter's family has no _total at its end.
 *
 * Threads: pure but for the buf. Ownership: rows are constant and borrowed.
 */
#ifndef SLUICE_SERVER_METRICS_TEXT_H
#define SLUICE_SERVER_METRICS_TEXT_H

#include "base/buf.h"
#include "server/metrics.h"

#include <stdbool.h>
#include <stddef.h>

enum metric_type { COUNTER, GAUGE };

/* Samples of a counter are named with _total behind the name. label NULL: one value. */
struct metric_row {
    const char *name;
    enum metric_type type;
    const char *help, *label;
    const char *words[METRIC_LABELS];
};

/* Bounds end where the next is not larger. */
struct histogram_row {
    const char *name, *help, *label;
    const char *words[METRIC_LABELS];
    double bounds[METRIC_BUCKETS];
};

struct metrics_text {
    struct buf *out;
    bool is_openmetrics;
};

size_t metrics_bound_count(const double *bounds);

/* HELP and TYPE. */
void metrics_text_head(const struct metrics_text *text, const struct metric_row *row);

/* One value without a label. */
void metrics_text_value(const struct metrics_text *text,
                        const struct metric_row *row,
                        double value);

/* All values of a row, in millionths. */
void metrics_text_values(const struct metrics_text *text,
                         const struct metric_row *row,
                         const atomic_uint_fast64_t values[METRIC_LABELS]);

void metrics_text_histogram(const struct metrics_text *text,
                            const struct histogram_row *row,
                            const struct histogram histograms[METRIC_LABELS]);

#endif
