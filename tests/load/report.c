#include "tests/load/report.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STATUSES = 600 };

/* Which entries a row of latencies is about. */
enum latency_class { LATENCY_OK, LATENCY_REFUSED, LATENCY_FAILED, LATENCY_CLASSES };

static const char *const class_names[LATENCY_CLASSES] = {"ok", "refused", "failed"};

static const struct {
    const char *name;
    double share;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1.0}};

enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

static const double bounds_ms[] = {1,   2,    5,    10,   20,    50,    100,  200,
                                   500, 1000, 2000, 5000, 10000, 20000, 50000};

enum { BOUNDS = sizeof(bounds_ms) / sizeof(bounds_ms[0]) };

/* Values in milliseconds, ascending. */
struct sample {
    double *values;
    size_t n;
};

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum latency_class kind_of(const struct entry *entry)
{
    if (entry->outcome == OUTCOME_REFUSED)
        return LATENCY_REFUSED;
    return entry->status == 200 ? LATENCY_OK : LATENCY_FAILED;
}

static enum err_code sample_latencies(struct sample *sample,
                                      const struct ledger *ledger,
                                      enum latency_class kind,
                                      struct err *err)
{
    sample->n = 0;
    sample->values = malloc((ledger->count + 1) * sizeof(double));
    if (sample->values == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the report");
    for (size_t i = 0; i < ledger->count; i++) {
        const struct entry *entry = &ledger->entries[i];
        const bool has_answer =
            entry->outcome == OUTCOME_ANSWERED || entry->outcome == OUTCOME_REFUSED;
        if (has_answer && kind_of(entry) == kind)
            sample->values[sample->n++] =
                clock_milliseconds(entry->finished - entry->plan.due);
    }
    qsort(sample->values, sample->n, sizeof(double), compare);
    return ERR_OK;
}

/* How late the generator itself was: a figure near the latencies makes them void. */
static enum err_code
sample_lateness(struct sample *sample, const struct ledger *ledger, struct err *err)
{
    sample->n = ledger->count;
    sample->values = malloc((ledger->count + 1) * sizeof(double));
    if (sample->values == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the report");
    for (size_t i = 0; i < ledger->count; i++)
        sample->values[i] =
            clock_milliseconds(ledger->entries[i].started - ledger->entries[i].plan.due);
    qsort(sample->values, sample->n, sizeof(double), compare);
    return ERR_OK;
}

static double quantile(const struct sample *sample, double share)
{
    const size_t rank = (size_t)ceil(share * (double)sample->n);
    return sample->n == 0 ? 0 : sample->values[rank == 0 ? 0 : rank - 1];
}

static void write_quantiles(const struct sample *sample, const char *name, FILE *out)
{
    (void)fprintf(out, "\"%s\":{\"count\":%zu", name, sample->n);
    for (size_t i = 0; i < QUANTILES; i++)
        (void)fprintf(out, ",\"%s\":%.3f", quantiles[i].name,
                      quantile(sample, quantiles[i].share));
    (void)fputs("}", out);
}

static void write_histogram(const struct sample *sample, const char *name, FILE *out)
{
    (void)fprintf(out, "\"%s\":[", name);
    for (size_t i = 0, at = 0; i <= BOUNDS; i++) {
        const size_t before = at;
        while (at < sample->n && (i == BOUNDS || sample->values[at] <= bounds_ms[i]))
            at++;
        (void)fprintf(out, "%s%zu", i == 0 ? "" : ",", at - before);
    }
    (void)fputs("]", out);
}

static enum err_code
write_latencies(const struct ledger *ledger, FILE *out, struct err *err)
{
    struct sample samples[LATENCY_CLASSES + 1] = {{0}};
    enum err_code code = sample_lateness(&samples[LATENCY_CLASSES], ledger, err);
    for (size_t i = 0; i < LATENCY_CLASSES && code == ERR_OK; i++)
        code = sample_latencies(&samples[i], ledger, (enum latency_class)i, err);
    if (code == ERR_OK) {
        (void)fputs("\"latency_ms\":{", out);
        for (size_t i = 0; i < LATENCY_CLASSES; i++) {
            (void)fputs(i == 0 ? "" : ",", out);
            write_quantiles(&samples[i], class_names[i], out);
        }
        (void)fputs("},", out);
        write_quantiles(&samples[LATENCY_CLASSES], "lateness_ms", out);
        (void)fputs(",\"histogram_ms\":{\"bounds\":[", out);
        for (size_t i = 0; i < BOUNDS; i++)
            (void)fprintf(out, "%s%g", i == 0 ? "" : ",", bounds_ms[i]);
        (void)fputs("]", out);
        for (size_t i = 0; i < LATENCY_CLASSES; i++) {
            (void)fputs(",", out);
            write_histogram(&samples[i], class_names[i], out);
        }
        (void)fputs("}", out);
    }
    for (size_t i = 0; i <= LATENCY_CLASSES; i++)
        free(samples[i].values);
    return code;
}

static void write_statuses(const struct ledger *ledger, enum outcome outcome, FILE *out)
{
    bool is_first = true;
    (void)fprintf(out, "\"%s\":{", outcome_name(outcome));
    for (int status = 200; status < STATUSES; status++) {
        const size_t n = ledger_count(ledger, outcome, status);
        if (n > 0)
            (void)fprintf(out, "%s\"%d\":%zu", is_first ? "" : ",", status, n);
        is_first = is_first && n == 0;
    }
    (void)fputs("},", out);
}

static void write_counts(const struct ledger *ledger, FILE *out)
{
    (void)fprintf(out, "\"sent\":%zu,", ledger->count);
    write_statuses(ledger, OUTCOME_ANSWERED, out);
    write_statuses(ledger, OUTCOME_REFUSED, out);
    (void)fprintf(out, "\"aborted\":%zu,\"lost\":{",
                  ledger_count(ledger, OUTCOME_ABORTED, 0));
    bool is_first = true;
    for (int outcome = OUTCOME_CONNECT; outcome < OUTCOME_COUNT; outcome++) {
        const size_t n = ledger_count(ledger, (enum outcome)outcome, 0);
        if (n > 0)
            (void)fprintf(out, "%s\"%s\":%zu", is_first ? "" : ",",
                          outcome_name((enum outcome)outcome), n);
        is_first = is_first && n == 0;
    }
    (void)fprintf(out, "},\"balanced\":%s,",
                  ledger_is_balanced(ledger) ? "true" : "false");
}

struct deadlines {
    size_t asked, met, late, passed, lowered;
};

static struct deadlines count_deadlines(const struct ledger *ledger)
{
    struct deadlines n = {0};
    for (size_t i = 0; i < ledger->count; i++) {
        const struct entry *entry = &ledger->entries[i];
        const struct mix *mix = &ledger->options->mixes[entry->plan.mix];
        if (mix->deadline_ms == 0)
            continue;
        n.asked++;
        n.met += ledger_is_good(ledger, entry);
        n.late += entry->status == 200 && !ledger_is_good(ledger, entry);
        n.passed += entry->status == 504;
        n.lowered += entry->status == 200 && entry->steps < mix->steps;
    }
    return n;
}

static void write_deadlines(const struct ledger *ledger, FILE *out)
{
    const struct deadlines n = count_deadlines(ledger);
    (void)fprintf(out,
                  ",\"deadlines\":{\"asked\":%zu,\"met\":%zu,\"late\":%zu,"
                  "\"passed\":%zu,\"lowered\":%zu}",
                  n.asked, n.met, n.late, n.passed, n.lowered);
}

static void write_retry_after(const struct ledger *ledger, FILE *out)
{
    size_t count = 0, missing = 0;
    int64_t least = 0, most = 0;
    for (size_t i = 0; i < ledger->count; i++) {
        const struct entry *entry = &ledger->entries[i];
        if (entry->outcome != OUTCOME_REFUSED)
            continue;
        if (entry->retry_after < 0) {
            missing++;
            continue;
        }
        least = count == 0 || entry->retry_after < least ? entry->retry_after : least;
        most = entry->retry_after > most ? entry->retry_after : most;
        count++;
    }
    (void)fprintf(out,
                  ",\"retry_after\":{\"count\":%zu,\"missing\":%zu,\"least\":%" PRId64
                  ",\"most\":%" PRId64 "}",
                  count, missing, least, most);
}

static double seconds_of_sending(const struct ledger *ledger)
{
    const double asked = ledger->options->seconds;
    const double took = (double)(ledger->end - ledger->begin) * 1e-9;
    return asked > 0 && took > asked ? asked : took;
}

/* Good answers in each second of sending. */
static void write_goodput(const struct ledger *ledger, FILE *out)
{
    enum { SECONDS = 4096 };
    size_t counts[SECONDS] = {0}, sum = 0;
    const double seconds = seconds_of_sending(ledger);
    size_t n = (size_t)ceil(seconds);
    n = n > SECONDS ? SECONDS : n;
    for (size_t i = 0; i < ledger->count; i++) {
        const struct entry *entry = &ledger->entries[i];
        const double at = (double)(entry->finished - ledger->begin) * 1e-9;
        if (!ledger_is_good(ledger, entry) || at > seconds || at >= (double)n)
            continue;
        counts[(size_t)at]++;
        sum++;
    }
    (void)fprintf(out, ",\"seconds\":%.3f,\"goodput\":%.3f,\"goodput_by_second\":[",
                  seconds, seconds > 0 ? (double)sum / seconds : 0.0);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(out, "%s%zu", i == 0 ? "" : ",", counts[i]);
    (void)fputs("]", out);
}

enum err_code report_json(const struct ledger *ledger, FILE *out, struct err *err)
{
    (void)fputs("{", out);
    write_counts(ledger, out);
    const enum err_code code = write_latencies(ledger, out, err);
    write_deadlines(ledger, out);
    write_retry_after(ledger, out);
    write_goodput(ledger, out);
    (void)fputs("}\n", out);
    if (code == ERR_OK && (fflush(out) != 0 || ferror(out) != 0))
        return err_set(err, ERR_IO, "the report could not be written");
    return code;
}

enum err_code report_table(const struct ledger *ledger, FILE *out, struct err *err)
{
    (void)fprintf(out, "%zu sent in %.1f s", ledger->count, seconds_of_sending(ledger));
    for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        const size_t n = ledger_count(ledger, (enum outcome)outcome, 0);
        if (n > 0)
            (void)fprintf(out, ", %zu %s", n, outcome_name((enum outcome)outcome));
    }
    (void)fprintf(out, "\n%-10s %8s", "ms", "count");
    for (size_t i = 0; i < QUANTILES; i++)
        (void)fprintf(out, " %9s", quantiles[i].name);
    (void)fputs("\n", out);
    for (size_t kind = 0; kind < LATENCY_CLASSES; kind++) {
        struct sample sample;
        const enum err_code code =
            sample_latencies(&sample, ledger, (enum latency_class)kind, err);
        if (code != ERR_OK)
            return code;
        (void)fprintf(out, "%-10s %8zu", class_names[kind], sample.n);
        for (size_t i = 0; i < QUANTILES; i++)
            (void)fprintf(out, " %9.2f", quantile(&sample, quantiles[i].share));
        (void)fputs("\n", out);
        free(sample.values);
    }
    return ERR_OK;
}
