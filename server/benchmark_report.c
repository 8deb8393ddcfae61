#include "server/benchmark_report.h"

#include <stdbool.h>

static const unsigned steps[] = {1, 4, 8, 20};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

static const char *const layer_names[] = {
    [TALLY_PRODUCT] = "product",
    [TALLY_ATTENTION] = "attention",
    [TALLY_CONVOLUTION] = "convolution",
};

/* Of the arithmetic that all threads could have done in that time, the part that was. */
static double share(const struct benchmark *b, double operations, double seconds)
{
    return operations / (seconds * b->peak * (double)b->threads);
}

static double percent(const struct benchmark *b, double operations, double seconds)
{
    return 100.0 * share(b, operations, seconds);
}

static void print_rounds(const struct benchmark *b, FILE *out)
{
    (void)fprintf(out,
                  "\nrounds: one evaluation of so many pictures together; ms a picture "
                  "(share of the peak)\n%-12s",
                  "pixels");
    for (size_t i = 0; i < BENCHMARK_BATCHES; i++)
        (void)fprintf(out, "%11s %-3zu", "batch", benchmark_batches[i]);
    (void)fprintf(out, "%16s\n", "decode");
    for (size_t s = 0; s < BENCHMARK_SIZES; s++) {
        const struct benchmark_size *size = &b->sizes[s];
        char name[32], cell[48];
        (void)snprintf(name, sizeof(name), "%zux%zu", size->width, size->height);
        (void)fprintf(out, "%-12s", name);
        for (size_t i = 0; i <= BENCHMARK_BATCHES; i++) {
            bool is_round = i < BENCHMARK_BATCHES;
            const struct benchmark_work *work =
                is_round ? &size->rounds[i] : &size->decode;
            double items = is_round ? (double)benchmark_batches[i] : 1.0;
            if (work->runs == 0)
                (void)snprintf(cell, sizeof(cell), "-");
            else
                (void)snprintf(cell, sizeof(cell), "%.2f (%.0f %%)",
                               work->seconds * 1e3 / items,
                               percent(b, work->tally.operations, work->seconds));
            (void)fprintf(out, is_round ? "%15s" : "%16s", cell);
        }
        (void)fputc('\n', out);
    }
}

static void print_requests(const struct benchmark *b, FILE *out)
{
    (void)fprintf(out,
                  "\npictures: encode, so many evaluations and decode, alone; "
                  "ms (share of the peak)\n%-12s",
                  "pixels");
    for (size_t i = 0; i < STEPS; i++)
        (void)fprintf(out, "%13s %-3u", "evaluations", steps[i]);
    (void)fputc('\n', out);
    for (size_t s = 0; s < BENCHMARK_SIZES; s++) {
        char name[32], cell[48];
        (void)snprintf(name, sizeof(name), "%zux%zu", b->sizes[s].width,
                       b->sizes[s].height);
        (void)fprintf(out, "%-12s", name);
        for (size_t i = 0; i < STEPS; i++) {
            double seconds, operations;
            if (benchmark_request(b, s, steps[i], &seconds, &operations))
                (void)snprintf(cell, sizeof(cell), "%.1f (%.0f %%)", seconds * 1e3,
                               percent(b, operations, seconds));
            else
                (void)snprintf(cell, sizeof(cell), "-");
            (void)fprintf(out, "%17s", cell);
        }
        (void)fputc('\n', out);
    }
}

static void print_layers(const struct benchmark *b,
                         const struct benchmark_work *work,
                         const char *title,
                         FILE *out)
{
    if (work->runs == 0)
        return;
    (void)fprintf(out, "\n%s: %.2f ms, %.2f GFLOP, %.0f %% of the peak\n", title,
                  work->seconds * 1e3, work->tally.operations / 1e9,
                  percent(b, work->tally.operations, work->seconds));
    (void)fprintf(out, "  %-12s %-24s %6s %9s %6s %9s %6s\n", "layer", "shape", "calls",
                  "ms", "time", "GFLOP/s", "peak");
    for (size_t i = 0; i < work->tally.n; i++) {
        const struct tally_row *row = &work->tally.rows[i];
        double seconds = (double)row->took / 1e9 + 1e-12;
        char shape[64];
        int n = snprintf(shape, sizeof(shape), "%zu x %zu -> %zu", row->shape.rows,
                         row->shape.inputs, row->shape.outputs);
        if (row->shape.heads > 0)
            (void)snprintf(shape + n, sizeof(shape) - (size_t)n, " x %zu heads",
                           row->shape.heads);
        (void)fprintf(out, "  %-12s %-24s %6zu %9.3f %4.0f %% %9.1f %4.0f %%\n",
                      layer_names[row->shape.kind], shape, row->calls, seconds * 1e3,
                      100.0 * seconds / work->seconds, row->operations / seconds / 1e9,
                      percent(b, row->operations, seconds));
    }
    double rest = work->seconds - (double)work->tally.took / 1e9;
    (void)fprintf(out, "  %-12s %-24s %6s %9.3f %4.0f %%\n", "the rest",
                  "norms, sums, angles", "", rest * 1e3, 100.0 * rest / work->seconds);
}

static void print_trials(const struct benchmark *b, FILE *out)
{
    (void)fprintf(out,
                  "\nsingle kernels, each alone on arrays of its own\n"
                  "  %-16s %-24s %10s %9s %6s %10s\n",
                  "kernel", "shape", "us", "GFLOP/s", "peak", "ns/value");
    for (size_t i = 0; i < b->n_trials; i++) {
        const struct trial *trial = &b->trials[i].trial;
        double seconds = b->trials[i].seconds, operations = trial_operations(trial);
        char shape[64];
        int n = snprintf(shape, sizeof(shape), "%zu x %zu", trial->rows, trial->inputs);
        if (operations > 0.0)
            (void)snprintf(shape + n, sizeof(shape) - (size_t)n, " -> %zu",
                           trial->outputs);
        (void)fprintf(out, "  %-16s %-24s %10.2f ", trial_name(trial->kind), shape,
                      seconds * 1e6);
        if (operations > 0.0)
            (void)fprintf(out, "%9.1f %4.0f %%\n", operations / seconds / 1e9,
                          percent(b, operations, seconds) * (double)b->threads);
        else
            (void)fprintf(out, "%9s %6s %10.3f\n", "", "",
                          seconds * 1e9 / ((double)trial->rows * (double)trial->inputs));
    }
}

void benchmark_print_tables(const struct benchmark *b,
                            const struct benchmark_subject *subject,
                            FILE *out)
{
    const struct bundle_info *info = subject->info;
    (void)fprintf(out,
                  "%s: kernels %s, %zu of this machine's %zu processors\n"
                  "peak         %.1f GFLOP/s a core: fused multiply-adds in registers\n"
                  "encode       %.2f ms (%.0f %% of the peak), once a prompt\n",
                  info->name, info->kernels, b->threads, subject->processors,
                  b->peak / 1e9, b->encode.seconds * 1e3,
                  percent(b, b->encode.tally.operations, b->encode.seconds));
    print_rounds(b, out);
    print_requests(b, out);
    (void)fprintf(
        out,
        "Guidance takes two evaluations a step. The model's default is %zux%zu, "
        "its limit %zu pixels.\n"
        "-: left out, for its time or memory; --seconds gives more time.\n",
        info->width, info->height, info->max_pixels);
    print_layers(b, &b->sizes[BENCHMARK_USUAL].rounds[0],
                 "one evaluation of the default size", out);
    print_layers(b, &b->sizes[BENCHMARK_USUAL].decode, "one decode of the default size",
                 out);
    print_trials(b, out);
}

/* Separates the members of an object or array. */
static const char *comma(size_t at)
{
    return at > 0 ? "," : "";
}

static void
write_arithmetic(const struct benchmark *b, double operations, double seconds, FILE *out)
{
    (void)fprintf(out, "\"ms\":%.6f,\"gflop\":%.6f,\"gflops\":%.3f,\"share\":%.5f",
                  seconds * 1e3, operations / 1e9, operations / seconds / 1e9,
                  share(b, operations, seconds));
}

/* The members of one kind of work, with its layers. */
static void
write_work(const struct benchmark *b, const struct benchmark_work *work, FILE *out)
{
    (void)fprintf(out, "\"runs\":%zu,", work->runs);
    write_arithmetic(b, work->tally.operations, work->seconds, out);
    (void)fprintf(out, ",\"rest_ms\":%.6f,\"layers\":[",
                  work->seconds * 1e3 - (double)work->tally.took / 1e6);
    for (size_t i = 0; i < work->tally.n; i++) {
        const struct tally_row *row = &work->tally.rows[i];
        (void)fprintf(out,
                      "%s{\"kind\":\"%s\",\"rows\":%zu,\"inputs\":%zu,\"outputs\":%zu,"
                      "\"heads\":%zu,\"calls\":%zu,",
                      comma(i), layer_names[row->shape.kind], row->shape.rows,
                      row->shape.inputs, row->shape.outputs, row->shape.heads,
                      row->calls);
        write_arithmetic(b, row->operations, (double)row->took / 1e9 + 1e-12, out);
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
}

static void write_size(const struct benchmark *b, size_t at, FILE *out)
{
    const struct benchmark_size *size = &b->sizes[at];
    size_t written = 0;
    (void)fprintf(out,
                  "%s\n{\"width\":%zu,\"height\":%zu,\"latent_tokens\":%zu,\"rounds\":[",
                  comma(at), size->width, size->height, size->tokens);
    for (size_t i = 0; i < BENCHMARK_BATCHES; i++) {
        if (size->rounds[i].runs == 0)
            continue;
        (void)fprintf(out, "%s\n {\"batch\":%zu,", comma(written++),
                      benchmark_batches[i]);
        write_work(b, &size->rounds[i], out);
        (void)fputc('}', out);
    }
    (void)fputs("]", out);
    if (size->decode.runs > 0) {
        (void)fputs(",\n \"decode\":{", out);
        write_work(b, &size->decode, out);
        (void)fputc('}', out);
    }
    (void)fputs(",\n \"pictures\":[", out);
    written = 0;
    for (size_t i = 0; i < STEPS; i++) {
        double seconds, operations;
        if (!benchmark_request(b, at, steps[i], &seconds, &operations))
            continue;
        (void)fprintf(out, "%s{\"evaluations\":%u,", comma(written++), steps[i]);
        write_arithmetic(b, operations, seconds, out);
        (void)fputc('}', out);
    }
    (void)fputs("]}", out);
}

void benchmark_print_json(const struct benchmark *b,
                          const struct benchmark_subject *subject,
                          FILE *out)
{
    (void)fprintf(
        out,
        "{\"version\":\"%s\",\"model_digest\":\"%s\",\"kernels\":\"%s\","
        "\"processors\":%zu,\"threads\":%zu,\"peak_gflops\":%.3f,\n\"encode\":{",
        subject->version, subject->info->digest, subject->info->kernels,
        subject->processors, b->threads, b->peak / 1e9);
    write_work(b, &b->encode, out);
    (void)fputs("},\n\"sizes\":[", out);
    for (size_t i = 0; i < BENCHMARK_SIZES; i++)
        write_size(b, i, out);
    (void)fputs("],\n\"single_kernels\":[", out);
    for (size_t i = 0; i < b->n_trials; i++) {
        const struct trial *trial = &b->trials[i].trial;
        (void)fprintf(out,
                      "%s\n{\"kernel\":\"%s\",\"rows\":%zu,\"inputs\":%zu,"
                      "\"outputs\":%zu,",
                      comma(i), trial_name(trial->kind), trial->rows, trial->inputs,
                      trial->outputs);
        double operations = trial_operations(trial), seconds = b->trials[i].seconds;
        (void)fprintf(out, "\"ms\":%.6f,\"gflop\":%.6f,\"gflops\":%.3f,\"share\":%.5f",
                      seconds * 1e3, operations / 1e9, operations / seconds / 1e9,
                      operations / (seconds * b->peak));
        (void)fputc('}', out);
    }
    (void)fputs("]}\n", out);
}
