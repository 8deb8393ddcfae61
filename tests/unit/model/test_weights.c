/* Tensors are found in one file or several, checked by name, shape and type, counted
 * exactly, and put where the kernels want them. */
#include "base/arena.h"
#include "model/weights.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/folder.h"
#include "tests/lib/tensor_file.h"

#include <math.h>
#include <string.h>

enum { OUT = 37, IN = 5, SIDE = 3, WIDE = 20 };

static const struct kernels kernels = {"scalar", product_scalar, &elementwise_scalar};
static char folder[FOLDER_PATH_SIZE];

/* Values that all three types hold exactly: eighths. */
static struct {
    float layer[OUT * IN], bias[OUT], kernel[OUT * IN * SIDE * SIDE];
    float gated[(WIDE + 2 * OUT) * IN];
    uint16_t table[OUT * IN], vector[OUT];
    int64_t count;
} file;

static void write_model(void)
{
    const struct tensor_entry entries[] = {
        {"m.layer.weight", "F32", "[37, 5]", file.layer, sizeof(file.layer)},
        {"m.layer.bias", "F32", "[37]", file.bias, sizeof(file.bias)},
        {"m.conv.weight", "F32", "[37, 5, 3, 3]", file.kernel, sizeof(file.kernel)},
        {"m.conv.bias", "F32", "[37]", file.bias, sizeof(file.bias)},
        {"m.table.weight", "BF16", "[37, 5]", file.table, sizeof(file.table)},
        {"m.both.weight", "F32", "[94, 5]", file.gated, sizeof(file.gated)},
        {"m.vector", "F16", "[37]", file.vector, sizeof(file.vector)},
        {"m.count", "I64", "[]", &file.count, sizeof(file.count)},
    };
    struct draw draw = {1};
    for (size_t i = 0; i < OUT * IN; i++) {
        file.layer[i] = draw_float(&draw);
        file.table[i] = (uint16_t)(0x3F80 + draw_below(&draw, 128));
    }
    for (size_t i = 0; i < OUT * IN * SIDE * SIDE; i++)
        file.kernel[i] = draw_float(&draw);
    for (size_t i = 0; i < (WIDE + 2 * OUT) * IN; i++)
        file.gated[i] = draw_float(&draw);
    for (size_t i = 0; i < OUT; i++) {
        file.bias[i] = draw_float(&draw);
        file.vector[i] = (uint16_t)(0x3C00 + i); /* 1 + i / 1024 */
    }
    tensor_file_write(folder, "model.safetensors", entries, 8);
}

/* A model of all kinds of layers. */
struct model {
    struct linear layer, table, plain, gated;
    struct filter filter;
    const float *vector;
};

static void bind_model(struct weights *weights, struct model *model)
{
    weights_prefix(weights, "%s.", "m");
    weights_linear(weights, &model->layer, "layer", OUT, IN, true);
    model->filter.doubled = true;
    weights_filter(weights, &model->filter, "conv", OUT, IN);
    weights_table(weights, &model->table, "table", OUT, IN);
    model->plain = (struct linear){.outputs = WIDE};
    model->gated = (struct linear){.outputs = OUT};
    weights_linear_gated(weights, &model->plain, &model->gated, "both", IN);
    weights_vector(weights, &model->vector, "vector", OUT);
}

static struct weights *open_weights(void)
{
    struct weights *weights = NULL;
    struct err err;
    CHECK_OK(weights_open(&weights, folder, "model", &kernels, &err), err);
    CHECK(weights_kernels(weights) == &kernels);
    return weights;
}

static void expect_packed(const struct linear *layer, const float *values)
{
    const size_t n = product_packed_size(layer->outputs, layer->inputs);
    float *panels = malloc(n * sizeof(*panels));
    CHECK(panels != NULL && layer->dtype == DTYPE_F32 && layer->data != NULL);
    product_pack(values, layer->inputs, layer->outputs, layer->inputs, panels);
    CHECK(memcmp(panels, layer->data, n * sizeof(*panels)) == 0);
    free(panels);
}

static void expect_gated(const struct linear *layer, const float *values)
{
    const size_t n = (layer->outputs + PANEL - 1) / PANEL * PANEL * 2 * layer->inputs;
    float *panels = malloc(n * sizeof(*panels));
    CHECK(panels != NULL && layer->dtype == DTYPE_F32 && layer->gated);
    product_pack_gated(values, values + layer->outputs * layer->inputs, layer->outputs,
                       layer->inputs, panels);
    CHECK(memcmp(panels, layer->data, n * sizeof(*panels)) == 0);
    free(panels);
}

static void expect_model(const struct model *model)
{
    const size_t n = convolution_packed_size(OUT, IN, true);
    float *filter = malloc((n + (size_t)OUT * IN) * sizeof(*filter));
    CHECK(filter != NULL);
    CHECK(model->layer.outputs == OUT && model->layer.inputs == IN);
    expect_packed(&model->layer, file.layer);
    CHECK(memcmp(model->layer.bias, file.bias, sizeof(file.bias)) == 0);
    convolution_pack(file.kernel, OUT, IN, true, filter + n, filter);
    CHECK(model->filter.inputs == IN && model->filter.outputs == OUT);
    CHECK(memcmp(model->filter.panels, filter, n * sizeof(*filter)) == 0);
    CHECK(memcmp(model->filter.bias, file.bias, sizeof(file.bias)) == 0);
    free(filter);
    CHECK(model->table.dtype == DTYPE_BF16);
    CHECK(memcmp(model->table.data, file.table, sizeof(file.table)) == 0);
    CHECK(model->plain.inputs == IN && model->gated.inputs == IN);
    expect_packed(&model->plain, file.gated);
    expect_gated(&model->gated, file.gated + (size_t)WIDE * IN);
    for (size_t i = 0; i < OUT; i++)
        CHECK(fabsf(model->vector[i] - (1.0f + (float)i / 1024.0f)) < 1e-7f);
}

/* Loads and returns what the digest became. */
static void
load(struct weights *weights, struct model *model, char text[DIGEST_TEXT_SIZE])
{
    struct err err;
    struct digest digest;
    digest_init(&digest);
    bind_model(weights, model);
    CHECK_OK(weights_check(weights, &err), err);
    CHECK(model->layer.data == NULL && model->vector == NULL);
    CHECK_OK(weights_start_loading(weights, &digest, &err), err);
    bind_model(weights, model);
    CHECK_OK(weights_check(weights, &err), err);
    digest_finish(&digest, text);
}

static void test_values_and_totals(void)
{
    struct model model = {0};
    char first[DIGEST_TEXT_SIZE], second[DIGEST_TEXT_SIZE], path[FOLDER_PATH_SIZE];
    struct stat st;
    write_model();
    struct weights *weights = open_weights();
    CHECK(stat(folder_path(folder, "model.safetensors", path), &st) == 0);
    CHECK(weights_totals(weights).unused_tensors == 8);
    load(weights, &model, first);
    const struct weights_totals totals = weights_totals(weights);
    CHECK(totals.parameters ==
          3 * OUT + 2 * OUT * IN + OUT * IN * SIDE * SIDE + (WIDE + 2 * OUT) * IN);
    CHECK(totals.file_bytes == (size_t)st.st_size);
    CHECK(totals.unused_tensors == 1); /* the count */
    CHECK(totals.memory_bytes % ARENA_ALIGNMENT == 0);
    CHECK(totals.memory_bytes >= sizeof(file) - sizeof(file.count));
    weights_close_files(weights);
    expect_model(&model);
    weights_close(weights);

    weights = open_weights();
    load(weights, &model, second);
    CHECK(strcmp(first, second) == 0);
    weights_close(weights);
    weights_close(NULL);
}

static void count_shape(void *context, size_t outputs, size_t inputs)
{
    size_t *counts = context;
    counts[0]++;
    counts[1] += outputs * 1000 + inputs;
}

static void test_distinct_shapes(void)
{
    struct model model;
    size_t counts[2] = {0};
    struct weights *weights = open_weights();
    bind_model(weights, &model);
    bind_model(weights, &model);
    weights_each_shape(weights, count_shape, counts);
    CHECK(counts[0] == 2); /* the filter's and the gated layer's are those of others */
    CHECK(counts[1] == (OUT * 1000 + IN) + (WIDE * 1000 + IN));
    weights_close(weights);
}

static void
expect_failure(const struct weights *weights, enum err_code code, const char *part)
{
    struct err err = {0};
    CHECK(weights_check(weights, &err) == code && err.code == code);
    if (strstr(err.message, part) == NULL || strstr(err.message, folder) == NULL) {
        (void)fprintf(stderr, "'%s', expected '%s'\n", err.message, part);
        exit(1);
    }
    CHECK(weights_check(weights, NULL) == code);
}

static void test_own_refusal(void)
{
    struct weights *weights = open_weights();
    weights_refuse(weights, "value %d is %s", 3, "odd");
    weights_refuse(weights, "another");
    expect_failure(weights, ERR_FORMAT, ": value 3 is odd");
    weights_close(weights);
}

static void test_refusals(void)
{
    const float *vector = (const float *)&file;
    struct linear layer = {0};
    struct weights *weights = open_weights();
    weights_prefix(weights, "m.");
    weights_vector(weights, &vector, "absent", OUT);
    CHECK(vector == NULL);
    expect_failure(weights, ERR_NOT_FOUND, "tensor m.absent is missing");
    weights_vector(weights, &vector, "vector", 1); /* the first failure stays */
    expect_failure(weights, ERR_NOT_FOUND, "tensor m.absent is missing");
    weights_close(weights);

    weights = open_weights();
    weights_vector(weights, &vector, "m.vector", OUT + 1);
    expect_failure(weights, ERR_FORMAT, "m.vector has shape [37], expected [38]");
    weights_close(weights);
    weights = open_weights();
    weights_linear(weights, &layer, "m.layer", IN, OUT, false);
    expect_failure(weights, ERR_FORMAT,
                   "m.layer.weight has shape [37, 5], expected [5, 37]");
    weights_close(weights);
    weights = open_weights();
    weights_linear(weights, &layer, "m.conv", OUT, IN, false);
    expect_failure(weights, ERR_FORMAT, "has shape [37, 5, 3, 3], expected [37, 5]");
    weights_close(weights);
    weights = open_weights();
    weights_linear(weights, &layer, "m.table", OUT, IN, true);
    expect_failure(weights, ERR_NOT_FOUND, "tensor m.table.bias is missing");
    weights_close(weights);
}

/* Integers are tolerated beside the weights, not as weights. */
static void test_types(void)
{
    static const char *const types[] = {"I64", "F64", "U64"};
    const float *vector;
    for (size_t i = 0; i < 3; i++) {
        const struct tensor_entry entry = {"v", types[i], "[1]", &file.count, 8};
        tensor_file_write(folder, "model.safetensors", &entry, 1);
        struct weights *weights = open_weights();
        weights_vector(weights, &vector, "v", 1);
        expect_failure(weights, ERR_UNSUPPORTED, "expected F32, F16 or BF16");
        expect_failure(weights, ERR_UNSUPPORTED, types[i]);
        weights_close(weights);
    }
}

/* The file's only tensor, `v` of 5 values, loaded. */
static enum err_code load_vector(struct err *err)
{
    const float *vector;
    struct digest digest;
    struct weights *weights = open_weights();
    digest_init(&digest);
    weights_vector(weights, &vector, "v", 5);
    CHECK_OK(weights_check(weights, err), *err);
    CHECK_OK(weights_start_loading(weights, &digest, err), *err);
    weights_vector(weights, &vector, "v", 5);
    const enum err_code code = weights_check(weights, err);
    CHECK((vector == NULL) == (code != ERR_OK));
    weights_close(weights);
    return code;
}

static void test_not_finite(void)
{
    static const struct {
        const char *dtype;
        uint32_t bits;
        bool good;
    } cases[] = {
        {"F32", 0x7F7FFFFF, true},  {"F32", 0x7F800000, false},
        {"F32", 0xFF800000, false}, {"F32", 0x7FC00000, false},
        {"F32", 0x7F800001, false}, {"F16", 0x7BFF, true},
        {"F16", 0x7C00, false},     {"F16", 0xFC00, false},
        {"F16", 0x7E00, false},     {"BF16", 0x7F7F, true},
        {"BF16", 0x7F80, false},    {"BF16", 0xFFC0, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t at = 0; at < 5; at += 2) {
            uint32_t wide[5] = {0};
            uint16_t narrow[5] = {0};
            struct err err = {0};
            wide[at] = cases[i].bits;
            narrow[at] = (uint16_t)(cases[i].bits & 0xFFFF);
            const bool is_wide = strcmp(cases[i].dtype, "F32") == 0;
            const struct tensor_entry entry = {"v", cases[i].dtype, "[5]",
                                               is_wide ? (const void *)wide : narrow,
                                               is_wide ? sizeof(wide) : sizeof(narrow)};
            tensor_file_write(folder, "model.safetensors", &entry, 1);
            CHECK(load_vector(&err) == (cases[i].good ? ERR_OK : ERR_FORMAT));
            CHECK(cases[i].good ||
                  strstr(err.message, "tensor v holds NaN or infinity") != NULL);
        }
    }
}

/* The file is cut between the check and the load, or the model wants more than before. */
static void test_changes_in_between(void)
{
    const float values[5] = {1, 2, 3, 4, 5}, *vector;
    const struct tensor_entry entry = {"v", "F32", "[5]", values, sizeof(values)};
    struct digest digest;
    struct err err;
    char path[FOLDER_PATH_SIZE];
    digest_init(&digest);
    tensor_file_write(folder, "model.safetensors", &entry, 1);
    struct weights *weights = open_weights();
    weights_vector(weights, &vector, "v", 5);
    CHECK_OK(weights_start_loading(weights, &digest, &err), err);
    CHECK(truncate(folder_path(folder, "model.safetensors", path), 40) == 0);
    weights_vector(weights, &vector, "v", 5);
    expect_failure(weights, ERR_IO, "tensor v: the file ends");
    weights_close(weights);

    tensor_file_write(folder, "model.safetensors", &entry, 1);
    weights = open_weights();
    CHECK_OK(weights_start_loading(weights, &digest, &err), err);
    for (int i = 0; i < 3; i++)
        weights_vector(weights, &vector, "v", 5);
    expect_failure(weights, ERR_INTERNAL, "more was loaded than was checked");
    weights_close(weights);
}

/* A 16-bit layer stays 16 bits wide: its panels are those of its widened values, narrow.
 */
static void test_narrow_stays_narrow(void)
{
    static const char *const names[] = {"BF16", "F16"};
    for (size_t kind = 0; kind < 2; kind++) {
        uint16_t values[OUT * IN];
        float wide[OUT * IN],
            *panels = malloc(product_packed_size(OUT, IN) * sizeof(float));
        struct linear layer;
        struct digest digest;
        struct err err;
        CHECK(panels != NULL);
        for (size_t i = 0; i < OUT * IN; i++)
            values[i] = (uint16_t)(0x3C00 + i);
        const struct tensor_entry entry = {"big.weight", names[kind], "[37, 5]", values,
                                           sizeof(values)};
        tensor_file_write(folder, "model.safetensors", &entry, 1);
        struct weights *weights = open_weights();
        weights_linear(weights, &layer, "big", OUT, IN, false);
        const size_t bytes = weights_totals(weights).memory_bytes;
        CHECK(bytes >= 2 * product_packed_size(OUT, IN));
        CHECK(bytes < 2 * product_packed_size(OUT, IN) + ARENA_ALIGNMENT);
        digest_init(&digest);
        CHECK_OK(weights_start_loading(weights, &digest, &err), err);
        weights_linear(weights, &layer, "big", OUT, IN, false);
        CHECK_OK(weights_check(weights, &err), err);
        CHECK(layer.dtype == (kind == 0 ? DTYPE_BF16 : DTYPE_F16));
        linear_widen(layer.dtype, layer.data, product_packed_size(OUT, IN), panels);
        layer.dtype = DTYPE_F32;
        layer.data = panels;
        linear_widen(kind == 0 ? DTYPE_BF16 : DTYPE_F16, values, OUT * IN, wide);
        expect_packed(&layer, wide);
        weights_close(weights);
        free(panels);
    }
}

int main(void)
{
    folder_create(folder);
    test_values_and_totals();
    test_distinct_shapes();
    test_refusals();
    test_own_refusal();
    test_types();
    test_not_finite();
    test_changes_in_between();
    test_narrow_stays_narrow();
    folder_remove(folder);
    return 0;
}
