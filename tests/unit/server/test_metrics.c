/* The text is in Prometheus's format, and its numbers are those that were observed. */
#include "server/batcher.h"
#include "server/metrics.h"
#include "tests/check.h"

#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

static const struct bundle_info info = {
    .family = "FLUX.2-klein", .digest = "0123abcd", .kernels = "scalar"};

static const struct metrics_reader plain = {&info, "1.2.3", false};
static const struct metrics_reader open_reader = {&info, "1.2.3", true};

static char *write_for(const struct metrics *metrics, const struct metrics_reader *reader)
{
    struct buf out;
    buf_init(&out, (size_t)1 << 20);
    metrics_write(metrics, reader, &out);
    CHECK(!out.failed);
    return buf_take(&out, NULL);
}

static char *write_text(const struct metrics *metrics)
{
    return write_for(metrics, &plain);
}

/* The value of the line that begins with `series` and a blank; exits when it is not
 * there, or twice. */
static double value_of(const char *text, const char *series)
{
    double value = (double)NAN;
    int found = 0;
    const size_t length = strlen(series);
    for (const char *line = text; line != NULL && *line != '\0';) {
        if (strncmp(line, series, length) == 0 && line[length] == ' ') {
            value = strtod(line + length, NULL);
            found++;
        }
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    if (found != 1) {
        (void)fprintf(stderr, "%d lines %s in\n%s", found, series, text);
        exit(1);
    }
    return value;
}

static void expect_value(const char *text, const char *series, double expected)
{
    CHECK(fabs(value_of(text, series) - expected) <= 1e-9 * (1.0 + fabs(expected)));
}

/* --- the format ------------------------------------------------------------------- */

struct family {
    char name[100], type[20];
};

static size_t name_length(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) != 0 || text[n] == '_' || text[n] == ':')
        n++;
    CHECK(n > 0 && n < 100 && isdigit((unsigned char)text[0]) == 0);
    return n;
}

/* {a="b",c="d"}; a comma at the end is allowed. Returns what follows it. */
static const char *skip_labels(const char *at)
{
    if (*at != '{')
        return at;
    at++;
    while (*at != '}') {
        at += name_length(at);
        CHECK(at[0] == '=' && at[1] == '"');
        at = strchr(at + 2, '"');
        CHECK(at != NULL);
        at++;
        CHECK(*at == ',' || *at == '}');
        at += *at == ',';
    }
    return at + 1;
}

/* The suffixes that a sample of a histogram's family has. */
static bool is_of_family(const struct family *family, const char *name, size_t length)
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    const size_t n = strlen(family->name);
    if (strncmp(name, family->name, n) != 0)
        return false;
    if (strcmp(family->type, "histogram") != 0)
        return length == n;
    for (size_t i = 0; i < 3; i++) {
        if (length == n + strlen(suffixes[i]) &&
            strncmp(name + n, suffixes[i], strlen(suffixes[i])) == 0)
            return true;
    }
    return false;
}

static void check_line(const char *line, struct family *family)
{
    char name[100];
    if (sscanf(line, "# HELP %99s", name) == 1) {
        CHECK(strlen(line) > strlen("# HELP ") + strlen(name) + 5);
        (void)snprintf(family->name, sizeof(family->name), "%s", name);
        family->type[0] = '\0';
        return;
    }
    if (sscanf(line, "# TYPE %99s %19s", name, family->type) == 2) {
        CHECK(strcmp(name, family->name) == 0);
        CHECK(strcmp(family->type, "counter") == 0 ||
              strcmp(family->type, "gauge") == 0 ||
              strcmp(family->type, "histogram") == 0);
        const size_t n = strlen(name);
        CHECK(strcmp(family->type, "counter") != 0 ||
              (n > 6 && strcmp(name + n - 6, "_total") == 0));
        return;
    }
    const size_t n = name_length(line);
    CHECK(family->type[0] != '\0' && is_of_family(family, line, n));
    const char *rest = skip_labels(line + n);
    CHECK(*rest == ' ');
    char *end;
    const double value = strtod(rest + 1, &end);
    CHECK(end != rest + 1 && *end == '\0' && isfinite(value) && value >= 0.0);
}

static void check_format(const char *text)
{
    struct family family = {0};
    CHECK(text[strlen(text) - 1] == '\n');
    for (const char *at = text; *at != '\0';) {
        char line[512];
        const size_t length = strcspn(at, "\n");
        CHECK(length > 0 && length < sizeof(line));
        memcpy(line, at, length);
        line[length] = '\0';
        check_line(line, &family);
        at += length + 1;
    }
}

/* Buckets of one histogram rise with their bounds to the count. */
static void check_buckets(const char *text, const char *name, const char *label)
{
    char series[200];
    double last = 0.0, bound = 0.0;
    size_t buckets = 0;
    const int length = snprintf(series, sizeof(series), "%s_bucket{%sle=\"", name, label);
    for (const char *at = text; (at = strstr(at, series)) != NULL;) {
        char *end;
        at += length;
        const double next = strtod(at, &end); /* "+Inf" too */
        CHECK(strncmp(end, "\"} ", 3) == 0);
        const double count = strtod(end + 3, NULL);
        CHECK(next > bound && count >= last);
        bound = next;
        last = count;
        buckets++;
    }
    CHECK(buckets > 5 && isinf(bound) != 0);
    const size_t n = strlen(label);
    (void)snprintf(series, sizeof(series), n > 0 ? "%s_count{%.*s}" : "%s_count%.*s",
                   name, n > 0 ? (int)n - 1 : 0, label);
    expect_value(text, series, last);
}

static void check_text(const char *text)
{
    check_format(text);
    check_buckets(text, "sluice_batch_requests", "");
    check_buckets(text, "sluice_request_seconds", "");
    check_buckets(text, "sluice_round_seconds", "work=\"encode\",");
    check_buckets(text, "sluice_round_seconds", "work=\"step\",");
    check_buckets(text, "sluice_round_seconds", "work=\"decode\",");
}

/* --- the numbers ------------------------------------------------------------------ */

static void test_empty(void)
{
    static struct metrics metrics;
    char *text = write_text(&metrics);
    check_text(text);
    expect_value(text,
                 "sluice_build_info{version=\"1.2.3\",family=\"FLUX.2-klein\","
                 "digest=\"0123abcd\",kernels=\"scalar\"}",
                 1.0);
    expect_value(text, "sluice_images_total", 0.0);
    expect_value(text, "sluice_batch_requests_count", 0.0);
    CHECK(strstr(text, "sluice_http_requests_total{") == NULL);
    free(text);
}

static void test_counters(void)
{
    static struct metrics metrics;
    metrics_add(&metrics, METRIC_IMAGES, 0, 3.0);
    metrics_add(&metrics, METRIC_EVALUATIONS, 0, 12345678901.0);
    metrics_add(&metrics, METRIC_JOINED, 0, 4.0);
    metrics_set(&metrics, METRIC_QUEUE_LENGTH, 5.0);
    metrics_set(&metrics, METRIC_RUNNING, 6.0);
    metrics_set(&metrics, METRIC_CONTEXT_CACHE_BYTES, 7000.0);
    metrics_count_answer(&metrics, ROUTE_GENERATE, 200);
    metrics_count_answer(&metrics, ROUTE_GENERATE, 200);
    metrics_count_answer(&metrics, ROUTE_GENERATE, 422);
    metrics_count_answer(&metrics, ROUTE_COUNT, 404);
    metrics_count_answer(&metrics, ROUTE_COUNT, 418);
    metrics_count_answer(&metrics, ROUTE_COUNT, 302);
    char *text = write_text(&metrics);
    check_text(text);
    expect_value(text, "sluice_images_total", 3.0);
    expect_value(text, "sluice_evaluations_total", 12345678901.0);
    expect_value(text, "sluice_joined_total", 4.0);
    expect_value(text, "sluice_queue_length", 5.0);
    expect_value(text, "sluice_running", 6.0);
    expect_value(text, "sluice_context_cache_bytes", 7000.0);
    static const char series[] = "sluice_http_requests_total{route=\"%s\",status=\"%d\"}";
    char name[200];
    (void)snprintf(name, sizeof(name), series, route_path(ROUTE_GENERATE), 200);
    expect_value(text, name, 2.0);
    (void)snprintf(name, sizeof(name), series, route_path(ROUTE_GENERATE), 422);
    expect_value(text, name, 1.0);
    (void)snprintf(name, sizeof(name), series, "other", 404);
    expect_value(text, name, 1.0);
    (void)snprintf(name, sizeof(name), series, "other", 0); /* all other statuses */
    expect_value(text, name, 2.0);
    free(text);
}

/* Values at a bound, above and below it, and above all of them. */
static void test_buckets(void)
{
    static struct metrics metrics;
    metrics_observe(&metrics, HISTOGRAM_BATCH_REQUESTS, 0, 1);
    metrics_observe(&metrics, HISTOGRAM_BATCH_REQUESTS, 0, 4);
    metrics_observe(&metrics, HISTOGRAM_BATCH_REQUESTS, 0, 5);
    metrics_observe(&metrics, HISTOGRAM_BATCH_REQUESTS, 0, 64);
    metrics_observe(&metrics, HISTOGRAM_BATCH_REQUESTS, 0, 65);
    metrics_observe(&metrics, HISTOGRAM_ROUND, BATCHER_STEP, 0.001);
    metrics_observe(&metrics, HISTOGRAM_ROUND, BATCHER_STEP, 0.0010001);
    metrics_observe(&metrics, HISTOGRAM_ROUND, BATCHER_DECODE, 0.0);
    metrics_observe(&metrics, HISTOGRAM_REQUEST, 0, 3600.0);
    char *text = write_text(&metrics);
    check_text(text);
    expect_value(text, "sluice_batch_requests_bucket{le=\"1\"}", 1.0);
    expect_value(text, "sluice_batch_requests_bucket{le=\"3\"}", 1.0);
    expect_value(text, "sluice_batch_requests_bucket{le=\"4\"}", 2.0);
    expect_value(text, "sluice_batch_requests_bucket{le=\"6\"}", 3.0);
    expect_value(text, "sluice_batch_requests_bucket{le=\"64\"}", 4.0);
    expect_value(text, "sluice_batch_requests_bucket{le=\"+Inf\"}", 5.0);
    expect_value(text, "sluice_batch_requests_sum", 139.0);
    expect_value(text, "sluice_round_seconds_bucket{work=\"step\",le=\"0.001\"}", 1.0);
    expect_value(text, "sluice_round_seconds_bucket{work=\"step\",le=\"0.0025\"}", 2.0);
    expect_value(text, "sluice_round_seconds_sum{work=\"step\"}", 0.002);
    expect_value(text, "sluice_round_seconds_bucket{work=\"decode\",le=\"0.001\"}", 1.0);
    expect_value(text, "sluice_round_seconds_count{work=\"encode\"}", 0.0);
    expect_value(text, "sluice_request_seconds_bucket{le=\"300\"}", 0.0);
    expect_value(text, "sluice_request_seconds_bucket{le=\"+Inf\"}", 1.0);
    expect_value(text, "sluice_request_seconds_sum", 3600.0);
    free(text);
}

enum { THREADS = 4, EACH = 20000 };

static void *observe(void *argument)
{
    struct metrics *metrics = argument;
    for (size_t i = 0; i < EACH; i++) {
        metrics_observe(metrics, HISTOGRAM_BATCH_REQUESTS, 0, (double)(1 + i % 70));
        metrics_observe(metrics, HISTOGRAM_ROUND, i % BATCHER_WORK_COUNT,
                        (double)i * 1e-3);
        metrics_count_answer(metrics, ROUTE_GENERATE, 200);
        if (i % 5000 == 0) {
            char *text = write_text(metrics); /* no snapshot, but a text */
            check_format(text);
            free(text);
        }
    }
    return NULL;
}

/* Nothing is lost between threads. */
static void test_threads(void)
{
    static struct metrics metrics;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, observe, &metrics) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    double batches = 0.0, seconds = 0.0;
    for (size_t i = 0; i < EACH; i++) {
        batches += (double)(1 + i % 70) * THREADS;
        seconds +=
            i % BATCHER_WORK_COUNT == BATCHER_STEP ? (double)i * 1e-3 * THREADS : 0.0;
    }
    char *text = write_text(&metrics);
    check_text(text);
    expect_value(text, "sluice_batch_requests_count", (double)THREADS * EACH);
    expect_value(text, "sluice_batch_requests_sum", batches);
    expect_value(text, "sluice_round_seconds_sum{work=\"step\"}", seconds);
    free(text);
}

/* OpenMetrics names a counter's family without its _total, and ends with a mark
 * (OpenMetrics 1.0, "Overall Structure" and "Counter"). */
static void test_openmetrics(void)
{
    static struct metrics metrics;
    metrics_add(&metrics, METRIC_REFUSALS, 1, 2.0);
    char *text = write_for(&metrics, &open_reader);
    const size_t length = strlen(text);
    CHECK(strstr(text, "# TYPE sluice_images counter\n") != NULL);
    CHECK(strstr(text, "# TYPE sluice_images_total") == NULL);
    CHECK(strstr(text, "\nsluice_images_total 0\n") != NULL);
    expect_value(text, "sluice_refusals_total{reason=\"memory\"}", 2.0);
    CHECK(length > 6 && strcmp(text + length - 6, "# EOF\n") == 0);
    free(text);
    text = write_text(&metrics);
    CHECK(strstr(text, "# EOF") == NULL);
    expect_value(text, "sluice_refusals_total{reason=\"wait\"}", 0.0);
    CHECK(value_of(text, "process_resident_memory_bytes") > 1e5);
    CHECK(value_of(text, "process_threads") >= 1.0); /* a sanitizer has one more */
    CHECK(value_of(text, "process_open_fds") >= 3.0);
    CHECK(value_of(text, "process_start_time_seconds") > 1.6e9);
    free(text);
}

/* A buf that is too small fails, and nothing else happens. */
static void test_small_buf(void)
{
    static struct metrics metrics;
    struct buf out;
    buf_init(&out, 100);
    metrics_write(&metrics, &plain, &out);
    CHECK(out.failed && out.length <= 100);
    buf_finish(&out);
}

int main(void)
{
    test_empty();
    test_counters();
    test_buckets();
    test_threads();
    test_openmetrics();
    test_small_buf();
    return 0;
}
