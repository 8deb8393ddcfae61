#include "model/weights.h"

#include "base/arena.h"
#include "base/size.h"
#include "model/config.h"

#include <jansson.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHARDS = 256, NAME_SIZE = 256, MAX_SHAPES = 64 };

struct shape {
    size_t outputs, inputs;
};

struct weights {
    char folder[CONFIG_PATH_SIZE];
    struct safetensors *files[MAX_SHARDS];
    size_t n_files;
    size_t n_bound, memory_bytes;
    struct weights_totals totals; /* of the files; computed once */
    struct shape shapes[MAX_SHAPES];
    size_t n_shapes;
    bool loading;
    struct arena memory;
    struct digest *digest; /* borrowed while loading */
    char prefix[NAME_SIZE];
    struct err err;
};

static enum err_code
open_shard(struct weights *weights, const char *name, struct err *err)
{
    char path[2 * CONFIG_PATH_SIZE];
    if (strchr(name, '/') != NULL)
        return err_set(err, ERR_FORMAT,
                       "shard %.100s: a file name without folders is expected", name);
    if (weights->n_files == MAX_SHARDS)
        return err_set(err, ERR_UNSUPPORTED, "more than %d shards", MAX_SHARDS);
    (void)snprintf(path, sizeof(path), "%s/%s", weights->folder, name);
    enum err_code code = safetensors_open(&weights->files[weights->n_files], path, err);
    if (code == ERR_OK)
        weights->n_files++;
    return code;
}

static bool is_open(const struct weights *weights, const char *name)
{
    for (size_t i = 0; i < weights->n_files; i++) {
        const char *slash = strrchr(safetensors_path(weights->files[i]), '/');
        if (slash != NULL && strcmp(slash + 1, name) == 0)
            return true;
    }
    return false;
}

/* index.json: {"weight_map": {"<tensor>": "<file>", ...}}; every file it names is opened.
 */
static enum err_code
open_shards(struct weights *weights, const char *index, struct err *err)
{
    struct config config;
    enum err_code code = config_open(&config, weights->folder, index, err);
    if (code != ERR_OK)
        return code;

    const char *tensor;
    json_t *file, *map = json_object_get(config.json, "weight_map");
    if (json_object_size(map) == 0)
        code = err_set(err, ERR_FORMAT, "weight_map is missing or empty");
    json_object_foreach(map, tensor, file)
    {
        if (code == ERR_OK && !json_is_string(file))
            code =
                err_set(err, ERR_FORMAT, "weight_map.%.100s is not a file name", tensor);
        if (code == ERR_OK && !is_open(weights, json_string_value(file)))
            code = open_shard(weights, json_string_value(file), err);
    }
    if (code != ERR_OK)
        code = err_prefix(err, code, "%s", config.path);
    config_close(&config);
    return code;
}

static void count_files(struct weights *weights)
{
    for (size_t f = 0; f < weights->n_files; f++) {
        const struct safetensors *file = weights->files[f];
        weights->totals.file_bytes += (size_t)safetensors_file_size(file);
        weights->totals.unused_tensors += safetensors_count(file);
        for (size_t i = 0; i < safetensors_count(file); i++) {
            const struct tensor *tensor = safetensors_at(file, i);
            if (tensor->dtype != DTYPE_I64)
                weights->totals.parameters += tensor->elements;
        }
    }
}

enum err_code
weights_open(struct weights **out, const char *folder, const char *stem, struct err *err)
{
    char single[NAME_SIZE], index[NAME_SIZE];
    (void)snprintf(single, sizeof(single), "%s.safetensors", stem);
    (void)snprintf(index, sizeof(index), "%s.safetensors.index.json", stem);
    struct weights *weights = calloc(1, sizeof(*weights));
    if (weights == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", folder);
    (void)snprintf(weights->folder, sizeof(weights->folder), "%s", folder);

    struct err first;
    enum err_code code = open_shard(weights, single, &first);
    if (code == ERR_NOT_FOUND)
        code = open_shards(weights, index, err);
    else if (code != ERR_OK)
        (void)err_set(err, code, "%s", first.message);
    if (code == ERR_NOT_FOUND && weights->n_files == 0)
        code = err_set(err, ERR_NOT_FOUND, "%s: neither %s nor %s is there", folder,
                       single, index);
    if (code != ERR_OK) {
        weights_close(weights);
        return code;
    }
    count_files(weights);
    *out = weights;
    return ERR_OK;
}

void weights_close_files(struct weights *weights)
{
    for (size_t i = 0; i < weights->n_files; i++)
        safetensors_close(weights->files[i]);
    weights->n_files = 0;
    weights->digest = NULL;
}

void weights_close(struct weights *weights)
{
    if (weights == NULL)
        return;
    weights_close_files(weights);
    arena_finish(&weights->memory);
    free(weights);
}

enum err_code
weights_start_loading(struct weights *weights, struct digest *digest, struct err *err)
{
    enum err_code code = arena_init(&weights->memory, weights->memory_bytes, err);
    if (code != ERR_OK)
        return err_prefix(err, code, "%s", weights->folder);
    weights->loading = true;
    weights->digest = digest;
    return ERR_OK;
}

enum err_code weights_check(const struct weights *weights, struct err *err)
{
    if (weights->err.code == ERR_OK)
        return ERR_OK;
    return err_set(err, weights->err.code, "%s", weights->err.message);
}

void weights_prefix(struct weights *weights, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(weights->prefix, sizeof(weights->prefix), format, ap);
    va_end(ap);
}

/* A tensor in its file; NULL (and a failure) unless it has the wanted shape and a float
 * type. */
static const struct tensor *find(struct weights *weights,
                                 const char *name,
                                 const size_t *shape,
                                 size_t rank,
                                 const struct safetensors **file)
{
    const struct tensor *tensor = NULL;
    for (size_t i = 0; tensor == NULL && i < weights->n_files; i++) {
        *file = weights->files[i];
        tensor = safetensors_find(*file, name);
    }
    if (tensor == NULL) {
        (void)err_set(&weights->err, ERR_NOT_FOUND, "%s: tensor %s is missing",
                      weights->folder, name);
        return NULL;
    }
    char expected[SAFETENSORS_SHAPE_TEXT_SIZE], found[SAFETENSORS_SHAPE_TEXT_SIZE];
    safetensors_shape_text(shape, rank, expected);
    safetensors_shape_text(tensor->shape, tensor->rank, found);
    if (tensor->rank != rank ||
        memcmp(tensor->shape, shape, rank * sizeof(*shape)) != 0) {
        (void)err_set(&weights->err, ERR_FORMAT,
                      "%s: tensor %s has shape %s, expected %s", safetensors_path(*file),
                      name, found, expected);
        return NULL;
    }
    if (tensor->dtype != DTYPE_F32 && tensor->dtype != DTYPE_F16 &&
        tensor->dtype != DTYPE_BF16) {
        (void)err_set(&weights->err, ERR_UNSUPPORTED,
                      "%s: tensor %s has type %s, expected F32, F16 or BF16",
                      safetensors_path(*file), name, tensor->dtype_name);
        return NULL;
    }
    return tensor;
}

static bool all_finite(enum dtype dtype, const void *data, size_t n)
{
    if (dtype == DTYPE_F32) {
        const float *values = data;
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(values[i]))
                return false;
        }
        return true;
    }
    /* All exponent bits set: infinity or NaN, in both 16-bit types. */
    uint16_t exponent = dtype == DTYPE_BF16 ? 0x7F80 : 0x7C00;
    const uint16_t *values = data;
    for (size_t i = 0; i < n; i++) {
        if ((values[i] & exponent) == exponent)
            return false;
    }
    return true;
}

/* Reads the tensor's bytes to `raw` and looks at them. */
static bool read_raw(struct weights *weights,
                     const struct safetensors *file,
                     const struct tensor *tensor,
                     void *raw)
{
    if (safetensors_read(file, tensor, raw, &weights->err) != ERR_OK)
        return false;
    digest_add(weights->digest, tensor->name, strlen(tensor->name));
    digest_add(weights->digest, raw, tensor->bytes);
    if (!all_finite(tensor->dtype, raw, tensor->elements)) {
        (void)err_set(&weights->err, ERR_FORMAT, "%s: tensor %s holds NaN or infinity",
                      safetensors_path(file), tensor->name);
        return false;
    }
    return true;
}

/* Reads the tensor to `kept` in the type `dtype`. */
static bool read_tensor(struct weights *weights,
                        const struct safetensors *file,
                        const struct tensor *tensor,
                        enum dtype dtype,
                        void *kept)
{
    if (dtype == tensor->dtype)
        return read_raw(weights, file, tensor, kept);
    void *raw = malloc(tensor->bytes);
    if (raw == NULL) {
        (void)err_set(&weights->err, ERR_NO_MEMORY, "%s: no memory to read tensor %s",
                      safetensors_path(file), tensor->name);
        return false;
    }
    bool ok = read_raw(weights, file, tensor, raw);
    if (ok)
        linear_widen(tensor->dtype, raw, tensor->elements, kept);
    free(raw);
    return ok;
}

enum keep { KEEP_FLOAT, KEEP_NARROW_IF_LARGE, KEEP_AS_IN_FILE };

static enum dtype kept_type(enum keep keep, const struct tensor *tensor)
{
    switch (keep) {
    case KEEP_AS_IN_FILE:
        return tensor->dtype;
    case KEEP_NARROW_IF_LARGE:
        return linear_kept_type(tensor->dtype, tensor->elements);
    case KEEP_FLOAT:
        break;
    }
    return DTYPE_F32;
}

/* Binds "<prefix><name>": counts it while checking, reads it while loading. NULL while
 * checking and on failure. */
static void *bind(struct weights *weights,
                  const char *name,
                  const size_t *shape,
                  size_t rank,
                  enum keep keep,
                  enum dtype *dtype)
{
    char full[2 * NAME_SIZE];
    const struct safetensors *file;
    if (weights->err.code != ERR_OK)
        return NULL;
    (void)snprintf(full, sizeof(full), "%s%s", weights->prefix, name);
    const struct tensor *tensor = find(weights, full, shape, rank, &file);
    if (tensor == NULL)
        return NULL;

    *dtype = kept_type(keep, tensor);
    if (!weights->loading) {
        struct arena measure;
        arena_init_measuring(&measure);
        (void)arena_take(&measure, tensor->elements, linear_element_size(*dtype));
        weights->memory_bytes = size_add(weights->memory_bytes, measure.used);
        weights->n_bound++;
        return NULL;
    }
    void *kept =
        arena_take(&weights->memory, tensor->elements, linear_element_size(*dtype));
    if (kept == NULL) {
        (void)err_set(&weights->err, ERR_INTERNAL, "%s: more was loaded than was checked",
                      weights->folder);
        return NULL;
    }
    return read_tensor(weights, file, tensor, *dtype, kept) ? kept : NULL;
}

static void remember_shape(struct weights *weights, size_t outputs, size_t inputs)
{
    for (size_t i = 0; i < weights->n_shapes; i++) {
        if (weights->shapes[i].outputs == outputs && weights->shapes[i].inputs == inputs)
            return;
    }
    if (weights->n_shapes < MAX_SHAPES)
        weights->shapes[weights->n_shapes++] = (struct shape){outputs, inputs};
}

void weights_vector(struct weights *weights,
                    const float **out,
                    const char *name,
                    size_t n)
{
    enum dtype dtype;
    *out = bind(weights, name, &n, 1, KEEP_FLOAT, &dtype);
}

static void
bind_linear(struct weights *weights, struct linear *out, const char *name, enum keep keep)
{
    char full[NAME_SIZE];
    size_t shape[] = {out->outputs, out->inputs};
    (void)snprintf(full, sizeof(full), "%s.weight", name);
    out->data = bind(weights, full, shape, 2, keep, &out->dtype);
}

void weights_linear(struct weights *weights,
                    struct linear *out,
                    const char *name,
                    size_t outputs,
                    size_t inputs,
                    bool bias)
{
    *out = (struct linear){.outputs = outputs, .inputs = inputs};
    bind_linear(weights, out, name, KEEP_NARROW_IF_LARGE);
    remember_shape(weights, outputs, inputs);
    if (bias) {
        char full[NAME_SIZE];
        (void)snprintf(full, sizeof(full), "%s.bias", name);
        weights_vector(weights, &out->bias, full, outputs);
    }
}

void weights_table(struct weights *weights,
                   struct linear *out,
                   const char *name,
                   size_t rows,
                   size_t width)
{
    *out = (struct linear){.outputs = rows, .inputs = width};
    bind_linear(weights, out, name, KEEP_AS_IN_FILE);
}

/* [o][i][p] becomes [o][p][i] for each output o, p over the kernel's positions. */
static bool reorder(float *values, size_t outputs, size_t inputs, size_t positions)
{
    size_t n = inputs * positions;
    float *copy = malloc(n * sizeof(*copy));
    if (copy == NULL)
        return false;
    for (size_t o = 0; o < outputs; o++, values += n) {
        memcpy(copy, values, n * sizeof(*copy));
        for (size_t i = 0; i < inputs; i++) {
            for (size_t p = 0; p < positions; p++)
                values[p * inputs + i] = copy[i * positions + p];
        }
    }
    free(copy);
    return true;
}

void weights_convolution(struct weights *weights,
                         struct weights_kernel *out,
                         const char *name,
                         size_t outputs,
                         size_t inputs,
                         size_t side)
{
    char full[NAME_SIZE];
    size_t shape[] = {outputs, inputs, side, side};
    enum dtype dtype;
    (void)snprintf(full, sizeof(full), "%s.weight", name);
    float *values = bind(weights, full, shape, 4, KEEP_FLOAT, &dtype);
    if (values != NULL && !reorder(values, outputs, inputs, side * side))
        (void)err_set(&weights->err, ERR_NO_MEMORY, "%s: no memory to reorder a kernel",
                      weights->folder);
    out->weight = values;
    remember_shape(weights, outputs, inputs * side * side);
    (void)snprintf(full, sizeof(full), "%s.bias", name);
    weights_vector(weights, &out->bias, full, outputs);
}

struct weights_totals weights_totals(const struct weights *weights)
{
    struct weights_totals totals = weights->totals;
    totals.memory_bytes = weights->memory_bytes;
    totals.unused_tensors -= size_min(weights->n_bound, totals.unused_tensors);
    return totals;
}

void weights_each_shape(const struct weights *weights,
                        void (*visit)(void *context, size_t outputs, size_t inputs),
                        void *context)
{
    for (size_t i = 0; i < weights->n_shapes; i++)
        visit(context, weights->shapes[i].outputs, weights->shapes[i].inputs);
}
