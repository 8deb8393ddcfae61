#include "server/metrics_text.h"

#include <stdio.h>
#include <string.h>

enum { MICRO = 1000000 };

size_t metrics_bound_count(const double *bounds)
{
    size_t n = 1;
    while (n < METRIC_BUCKETS && bounds[n] > bounds[n - 1])
        n++;
    return n;
}

static void head(const struct metrics_text *text,
                 const char *name,
                 const char *suffix,
                 const char *type,
                 const char *help)
{
    (void)buf_print(text->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help,
                    name, suffix, type);
}

static const char *suffix_of(const struct metric_row *row)
{
    return row->type == COUNTER ? "_total" : "";
}

void metrics_text_head(const struct metrics_text *text, const struct metric_row *row)
{
    head(text, row->name, text->is_openmetrics ? "" : suffix_of(row),
         row->type == COUNTER ? "counter" : "gauge", row->help);
}

void metrics_text_value(const struct metrics_text *text,
                        const struct metric_row *row,
                        double value)
{
    metrics_text_head(text, row);
    (void)buf_print(text->out, "%s%s %.15g\n", row->name, suffix_of(row), value);
}

void metrics_text_values(const struct metrics_text *text,
                         const struct metric_row *row,
                         const atomic_uint_fast64_t values[METRIC_LABELS])
{
    if (row->label == NULL) {
        metrics_text_value(text, row, (double)atomic_load(&values[0]) / MICRO);
        return;
    }
    metrics_text_head(text, row);
    for (size_t i = 0; i < METRIC_LABELS && row->words[i] != NULL; i++)
        (void)buf_print(text->out, "%s%s{%s=\"%s\"} %.15g\n", row->name, suffix_of(row),
                        row->label, row->words[i],
                        (double)atomic_load(&values[i]) / MICRO);
}

/* One series: label is "" or ends in a comma: `work="step",`. */
static void write_series(const struct metrics_text *text,
                         const struct histogram_row *row,
                         const char *label,
                         const struct histogram *histogram)
{
    uint64_t total = 0;
    size_t n = metrics_bound_count(row->bounds), length = strlen(label);
    for (size_t i = 0; i < n; i++) {
        total += atomic_load(&histogram->counts[i]);
        (void)buf_print(text->out, "%s_bucket{%sle=\"%g\"} %llu\n", row->name, label,
                        row->bounds[i], (unsigned long long)total);
    }
    total += atomic_load(&histogram->counts[n]);
    (void)buf_print(text->out, "%s_bucket{%sle=\"+Inf\"} %llu\n", row->name, label,
                    (unsigned long long)total);
    /* Without the comma, and without braces where there is no label. */
    int shown = length > 0 ? (int)length - 1 : 0;
    const char *open = length > 0 ? "{" : "", *close = length > 0 ? "}" : "";
    (void)buf_print(text->out, "%s_sum%s%.*s%s %.6f\n", row->name, open, shown, label,
                    close, (double)atomic_load(&histogram->sum) / MICRO);
    (void)buf_print(text->out, "%s_count%s%.*s%s %llu\n", row->name, open, shown, label,
                    close, (unsigned long long)total);
}

void metrics_text_histogram(const struct metrics_text *text,
                            const struct histogram_row *row,
                            const struct histogram histograms[METRIC_LABELS])
{
    head(text, row->name, "", "histogram", row->help);
    if (row->label == NULL) {
        write_series(text, row, "", &histograms[0]);
        return;
    }
    for (size_t i = 0; i < METRIC_LABELS && row->words[i] != NULL; i++) {
        char label[64];
        (void)snprintf(label, sizeof(label), "%s=\"%s\",", row->label, row->words[i]);
        write_series(text, row, label, &histograms[i]);
    }
}
