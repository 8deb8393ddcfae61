#include "model/kernels/trial.h"

#include "base/clock.h"
#include "base/size.h"
#include "model/kernels/attention.h"
#include "model/kernels/convolution.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 8, BATCHES = 9 };

/* A trial's arrays: each kind uses those that it needs. */
struct bench {
    const struct trial *trial;
    const struct kernels *kernels;
    float *in, *weights, *vector, *out, *scratch;
};

static void run_product(const struct bench *b)
{
    struct product product = {
        .rows = b->trial->rows,
        .inputs = b->trial->inputs,
        .outputs = b->trial->outputs,
        .in = b->in,
        .in_stride = b->trial->inputs,
        .panels = b->weights,
        .type = PANEL_F32,
        .out = b->out,
        .out_stride = b->trial->outputs,
        .end = PRODUCT_STORE,
    };
    b->kernels->product(&product);
}

/* Keys stand in `weights`, values in `vector`. */
static void run_attention(const struct bench *b)
{
    struct attention attention = {
        .queries = b->trial->rows,
        .keys = b->trial->inputs,
        .heads = 1,
        .key_heads = 1,
        .head_size = b->trial->outputs,
        .q = b->in,
        .k = b->weights,
        .v = b->vector,
        .q_stride = b->trial->outputs,
        .k_stride = b->trial->outputs,
        .v_stride = b->trial->outputs,
        .out = b->out,
        .out_stride = b->trial->outputs,
    };
    attention_apply(b->kernels, &attention, b->scratch);
}

static void run_convolution(const struct bench *b)
{
    struct convolution convolution = {
        .height = 1,
        .width = b->trial->rows,
        .in_channels = b->trial->inputs,
        .out_channels = b->trial->outputs,
        .in = b->in,
        .panels = b->weights,
        .bias = b->vector,
        .out = b->out,
    };
    while (convolution.width % 2 == 0 && convolution.width > convolution.height * 2) {
        convolution.width /= 2;
        convolution.height *= 2;
    }
    convolution_apply(b->kernels, &convolution, b->scratch);
}

static void run_norm_rms(const struct bench *b)
{
    size_t n = b->trial->inputs;
    struct norm_rms norm = {b->trial->rows, n, n, n, b->in, b->vector, b->out, 1e-6f};
    b->kernels->each->norm_rms(&norm);
}

static void run_norm_modulated(const struct bench *b)
{
    struct norm_modulated norm = {b->trial->rows, b->trial->inputs, b->in, b->vector,
                                  b->vector,      b->out,           1e-6f};
    b->kernels->each->norm_modulated(&norm);
}

static void run_norm_group(const struct bench *b)
{
    size_t channels = b->trial->inputs;
    struct norm_group norm = {
        .pixels = b->trial->rows,
        .channels = channels,
        .groups = channels % GROUP == 0 ? channels / GROUP : channels,
        .in = b->in,
        .weight = b->vector,
        .bias = b->vector,
        .out = b->out,
        .epsilon = 1e-6f,
        .silu = true,
    };
    const struct elementwise *each = b->kernels->each;
    size_t units = norm_group_units(&norm), sums = norm_group_sums(&norm);
    void *room = b->scratch;
    double *partial = room;
    void *behind = partial + units * sums;
    float *factors = behind;
    for (size_t unit = 0; unit < units; unit++)
        each->group_sums(&norm, unit, partial + unit * sums);
    each->group_factors(&norm, partial, factors);
    for (size_t unit = 0; unit < units; unit++)
        each->group_apply(&norm, unit, factors);
}

/* What works in place is given the input anew, or repeated calls would end in subnormal
 * numbers. */
static void copy_input(const struct bench *b)
{
    memcpy(b->out, b->in, b->trial->rows * b->trial->inputs * sizeof(*b->out));
}

static void run_rotary(const struct bench *b)
{
    size_t half = b->trial->rows * (b->trial->inputs / 2);
    copy_input(b);
    struct rotary rotary = {
        .pairs = ROTARY_NEIGHBOURS,
        .tokens = b->trial->rows,
        .heads = 1,
        .head_size = b->trial->inputs,
        .stride = b->trial->inputs,
        .cosine = b->weights,
        .sine = b->weights + half,
        .x = b->out,
    };
    b->kernels->each->rotary(&rotary);
}

static void run_softmax(const struct bench *b)
{
    size_t n = b->trial->inputs;
    copy_input(b);
    for (size_t r = 0; r < b->trial->rows; r++)
        b->kernels->each->softmax(b->out + r * n, n, n, 1.0f);
}

static void run_silu(const struct bench *b)
{
    copy_input(b);
    b->kernels->each->silu(b->out, b->trial->rows * b->trial->inputs);
}

static const struct {
    const char *name;
    void (*run)(const struct bench *bench);
    double operations; /* for each row, input and output */
} kinds[TRIAL_KIND_COUNT] = {
    [TRIAL_PRODUCT] = {"product", run_product, 2.0},
    [TRIAL_ATTENTION] = {"attention", run_attention, 4.0},
    [TRIAL_CONVOLUTION] = {"convolution", run_convolution, 18.0},
    [TRIAL_NORM_RMS] = {"norm_rms", run_norm_rms, 0.0},
    [TRIAL_NORM_MODULATED] = {"norm_modulated", run_norm_modulated, 0.0},
    [TRIAL_NORM_GROUP] = {"norm_group", run_norm_group, 0.0},
    [TRIAL_ROTARY] = {"rotary", run_rotary, 0.0},
    [TRIAL_SOFTMAX] = {"softmax", run_softmax, 0.0},
    [TRIAL_SILU] = {"silu", run_silu, 0.0},
};

const char *trial_name(enum trial_kind kind)
{
    return kinds[kind].name;
}

double trial_operations(const struct trial *trial)
{
    return kinds[trial->kind].operations * (double)trial->rows * (double)trial->inputs *
           (double)trial->outputs;
}

/* Values between -1/2 and 1/2; their kind does not matter but that none is subnormal. */
static float *new_values(size_t n)
{
    float *values =
        n > SIZE_MAX / sizeof(float) ? NULL : malloc(size_max(n, 1) * sizeof(float));
    for (size_t i = 0; values != NULL && i < n; i++)
        values[i] = (float)((int)(i * 7919 % 1024) - 512) / 1024.0f + 1.0f / 4096.0f;
    return values;
}

static enum err_code allocate(struct bench *b, struct err *err)
{
    const struct trial *t = b->trial;
    const struct norm_group group = {.pixels = t->rows, .channels = t->inputs};
    /* Sums are doubles, the factors behind them floats. */
    size_t sums = 2 * norm_group_units(&group) * norm_group_sums(&group) +
                  norm_group_factors(&group);
    size_t widest = size_max(t->inputs, t->outputs), map = size_multiply(t->rows, widest),
           keys = size_multiply(t->inputs, size_max(t->outputs, 1));
    b->in = new_values(map);
    b->out = new_values(map);
    b->vector = new_values(size_max(keys, widest));
    b->weights = new_values(
        size_max(size_max(product_packed_size(t->outputs, widest), keys),
                 size_max(convolution_packed_size(t->outputs, t->inputs, false), map)));
    b->scratch =
        new_values(size_max(size_max(attention_scratch(t->inputs, t->outputs), sums),
                            convolution_scratch(t->inputs, t->outputs)));
    if (b->in == NULL || b->out == NULL || b->vector == NULL || b->weights == NULL ||
        b->scratch == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory to time %s", trial_name(t->kind));
    return ERR_OK;
}

static double time_calls(const struct bench *b, size_t calls)
{
    uint64_t start = clock_now();
    for (size_t i = 0; i < calls; i++)
        kinds[b->trial->kind].run(b);
    return (double)(clock_now() - start) / 1e9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The first call fetches code and pages, and says how many make a batch. */
static double median_call(const struct bench *b, double budget)
{
    double first = time_calls(b, 1), batches[BATCHES];
    double fit = budget / BATCHES / (first + 1e-9);
    size_t calls = fit < 1.0 ? 1 : (size_t)fit, n = fit < 0.3 ? 3 : BATCHES;
    for (size_t i = 0; i < n; i++)
        batches[i] = time_calls(b, calls) / (double)calls;
    qsort(batches, n, sizeof(batches[0]), compare);
    return batches[n / 2];
}

enum err_code trial_measure(const struct trial *trial,
                            const struct kernels *kernels,
                            double budget,
                            double *seconds,
                            struct err *err)
{
    struct bench bench = {.trial = trial, .kernels = kernels};
    enum err_code code = allocate(&bench, err);
    if (code == ERR_OK)
        *seconds = median_call(&bench, budget);
    free(bench.in);
    free(bench.out);
    free(bench.vector);
    free(bench.weights);
    free(bench.scratch);
    return code;
}
