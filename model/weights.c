#include "model/weights.h"

#include "base/arena.h"
#include "base/size.h"
#include "model/weight_files.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 256, MAX_SHAPES = 64 };

struct layer_shape {
    size_t outputs, inputs;
};

struct weights {
    struct weight_files files;
    const struct kernels *kernels;
    size_t n_bound, memory_bytes;
    struct layer_shape shapes[MAX_SHAPES];
    size_t n_shapes;
    bool loading;
    struct arena memory;
    struct digest *digest; /* borrowed while loading */
    char prefix[NAME_SIZE];
    struct err err;
};

enum err_code weights_open(struct weights **out,
                           const char *folder,
                           const char *stem,
                           const struct kernels *kernels,
                           struct err *err)
{
    struct weights *weights = calloc(1, sizeof(*weights));
    if (weights == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", folder);
    weights->kernels = kernels;
    enum err_code code = weight_files_open(&weights->files, folder, stem, err);
    if (code != ERR_OK) {
        weights_close(weights);
        return code;
    }
    *out = weights;
    return ERR_OK;
}

const struct kernels *weights_kernels(const struct weights *weights)
{
    return weights->kernels;
}

void weights_close_files(struct weights *weights)
{
    weight_files_close(&weights->files);
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
        return err_prefix(err, code, "%s", weights->files.folder);
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

void weights_refuse(struct weights *weights, const char *format, ...)
{
    struct err *err = &weights->err;
    if (err->code != ERR_OK)
        return;
    va_list ap;
    va_start(ap, format);
    err->code = ERR_FORMAT;
    (void)vsnprintf(err->message, sizeof(err->message), format, ap);
    va_end(ap);
    (void)err_prefix(err, ERR_FORMAT, "%s", weights->files.folder);
}

void weights_prefix(struct weights *weights, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(weights->prefix, sizeof(weights->prefix), format, ap);
    va_end(ap);
}

static bool read_raw(struct weights *weights, const struct weight_place *place, void *raw)
{
    return weight_place_read(place, weights->digest, raw, &weights->err) == ERR_OK;
}

/* A tensor that a model wants, and how it is kept: as the file has it, as float32, or
 * packed, in the file's type, or as the filter of a convolution. */
struct wanted {
    const char *name; /* behind the prefix */
    struct tensor_shape shape;
    enum keep { KEEP_AS_IN_FILE, KEEP_FLOAT, KEEP_PACKED, KEEP_FILTER } keep;

    /* KEEP_PACKED: how many values the panels take, what a row of them holds, and which
     * value of the file stands in row i of panel p at lane l; NO_VALUE: a zero. */
    size_t packed, inputs;
    size_t (*source)(const struct wanted *wanted, size_t p, size_t i, size_t l);
    size_t plain; /* gated_source: outputs before the gate's */

    bool doubled; /* KEEP_FILTER: of doubled pictures; `packed` floats */
};

static const size_t NO_VALUE = SIZE_MAX;

static void pack(const struct wanted *wanted, size_t size, const void *values, void *kept)
{
    const float *wide = values;
    const uint16_t *narrow = values;
    float *wide_out = kept;
    uint16_t *narrow_out = kept;
    for (size_t at = 0; at < wanted->packed; at++) {
        size_t row = at / PANEL;
        size_t source = wanted->source(wanted, row / wanted->inputs, row % wanted->inputs,
                                       at % PANEL);
        if (size == sizeof(float))
            wide_out[at] = source == NO_VALUE ? 0.0f : wide[source];
        else
            narrow_out[at] = source == NO_VALUE ? 0 : narrow[source];
    }
}

/* A kernel as float32, then as a filter, by way of room behind it. */
static void change_to_filter(const struct wanted *wanted,
                             enum dtype dtype,
                             const void *raw,
                             float *room,
                             float *kept)
{
    size_t outputs = wanted->shape.sides[0], n = outputs * wanted->inputs * 9;
    linear_widen(dtype, raw, n, room);
    convolution_pack(room, outputs, wanted->inputs, wanted->doubled, room + n, kept);
}

/* Reads, and widens, packs or transforms, by way of memory that is given back. */
static bool read_changed(struct weights *weights,
                         const struct wanted *wanted,
                         const struct weight_place *place,
                         void *kept)
{
    const struct tensor *tensor = place->tensor;
    size_t floats = wanted->keep == KEEP_FILTER ? 2 * tensor->elements : 0;
    float *room =
        malloc(size_add(size_multiply(floats, sizeof(float)), tensor->bytes + 1));
    if (room == NULL) {
        (void)err_set(&weights->err, ERR_NO_MEMORY, "%s: no memory to read tensor %s",
                      safetensors_path(place->file), tensor->name);
        return false;
    }
    void *raw = room + floats;
    bool ok = read_raw(weights, place, raw);
    if (ok && wanted->keep == KEEP_PACKED)
        pack(wanted, linear_element_size(tensor->dtype), raw, kept);
    else if (ok && wanted->keep == KEEP_FILTER)
        change_to_filter(wanted, tensor->dtype, raw, room, kept);
    else if (ok)
        linear_widen(tensor->dtype, raw, tensor->elements, kept);
    free(room);
    return ok;
}

/* Counts a tensor while checking, reads it while loading. NULL while checking and on
 * failure. */
static void *bind(struct weights *weights, const struct wanted *wanted, enum dtype *dtype)
{
    char full[2 * NAME_SIZE];
    struct weight_place place;
    *dtype = DTYPE_F32;
    if (weights->err.code != ERR_OK)
        return NULL;
    (void)snprintf(full, sizeof(full), "%s%s", weights->prefix, wanted->name);
    if (weight_files_find(&weights->files, full, &wanted->shape, &place, &weights->err) !=
        ERR_OK)
        return NULL;

    if (wanted->keep == KEEP_AS_IN_FILE || wanted->keep == KEEP_PACKED)
        *dtype = place.tensor->dtype;
    size_t elements = wanted->packed > 0 ? wanted->packed : place.tensor->elements;
    if (!weights->loading) {
        struct arena measure;
        arena_init_measuring(&measure);
        (void)arena_take(&measure, elements, linear_element_size(*dtype));
        weights->memory_bytes = size_add(weights->memory_bytes, measure.used);
        weights->n_bound++;
        return NULL;
    }
    void *kept = arena_take(&weights->memory, elements, linear_element_size(*dtype));
    if (kept == NULL) {
        (void)err_set(&weights->err, ERR_INTERNAL, "%s: more was loaded than was checked",
                      weights->files.folder);
        return NULL;
    }
    bool ok = wanted->keep == KEEP_AS_IN_FILE
                  ? read_raw(weights, &place, kept)
                  : read_changed(weights, wanted, &place, kept);
    return ok ? kept : NULL;
}

static void remember_shape(struct weights *weights, size_t outputs, size_t inputs)
{
    for (size_t i = 0; i < weights->n_shapes; i++) {
        if (weights->shapes[i].outputs == outputs && weights->shapes[i].inputs == inputs)
            return;
    }
    if (weights->n_shapes < MAX_SHAPES)
        weights->shapes[weights->n_shapes++] = (struct layer_shape){outputs, inputs};
}

void weights_vector(struct weights *weights,
                    const float **out,
                    const char *name,
                    size_t n)
{
    enum dtype dtype;
    struct wanted wanted = {.name = name, .shape = {1, {n}}, .keep = KEEP_FLOAT};
    *out = bind(weights, &wanted, &dtype);
}

static void
bind_bias(struct weights *weights, const float **out, const char *name, size_t n)
{
    char full[NAME_SIZE];
    (void)snprintf(full, sizeof(full), "%s.bias", name);
    weights_vector(weights, out, full, n);
}

static size_t row_source(const struct wanted *wanted, size_t p, size_t i, size_t l)
{
    size_t output = p * PANEL + l;
    return output < wanted->shape.sides[0] ? output * wanted->inputs + i : NO_VALUE;
}

/* The shape begins with outputs and inputs; what follows is 1. */
static void bind_layer(struct weights *weights,
                       struct linear *out,
                       const char *name,
                       const struct tensor_shape *shape)
{
    char full[NAME_SIZE];
    size_t outputs = shape->sides[0], inputs = shape->sides[1];
    (void)snprintf(full, sizeof(full), "%s.weight", name);
    struct wanted wanted = {
        .name = full,
        .shape = *shape,
        .keep = KEEP_PACKED,
        .packed = product_packed_size(outputs, inputs),
        .inputs = inputs,
        .source = row_source,
    };
    *out = (struct linear){.outputs = outputs, .inputs = inputs};
    out->data = bind(weights, &wanted, &out->dtype);
    remember_shape(weights, outputs, inputs);
}

void weights_linear(struct weights *weights,
                    struct linear *out,
                    const char *name,
                    size_t outputs,
                    size_t inputs,
                    bool bias)
{
    struct tensor_shape shape = {2, {outputs, inputs}};
    bind_layer(weights, out, name, &shape);
    if (bias)
        bind_bias(weights, &out->bias, name, outputs);
}

/* The plain layer's panels, then those of the gate and of what it gates in turn. */
static size_t gated_source(const struct wanted *wanted, size_t p, size_t i, size_t l)
{
    size_t plain_panels = product_panels(wanted->plain);
    size_t outputs = (wanted->shape.sides[0] - wanted->plain) / 2;
    size_t output = p * PANEL + l;
    if (p < plain_panels)
        return output < wanted->plain ? output * wanted->inputs + i : NO_VALUE;
    p -= plain_panels;
    output = p / 2 * PANEL + l;
    if (output >= outputs)
        return NO_VALUE;
    return (wanted->plain + p % 2 * outputs + output) * wanted->inputs + i;
}

void weights_linear_gated(struct weights *weights,
                          struct linear *plain,
                          struct linear *gated,
                          const char *name,
                          size_t inputs)
{
    char full[NAME_SIZE];
    size_t first = plain != NULL ? plain->outputs : 0;
    (void)snprintf(full, sizeof(full), "%s.weight", name);
    struct wanted wanted = {
        .name = full,
        .shape = {2, {first + 2 * gated->outputs, inputs}},
        .keep = KEEP_PACKED,
        .packed = product_packed_size(first, inputs) +
                  product_gated_size(gated->outputs, inputs),
        .inputs = inputs,
        .source = gated_source,
        .plain = first,
    };
    gated->inputs = inputs;
    gated->gated = true;
    const unsigned char *data = bind(weights, &wanted, &gated->dtype);
    size_t skipped = product_packed_size(first, inputs);
    gated->data =
        data != NULL ? data + skipped * linear_element_size(gated->dtype) : NULL;
    remember_shape(weights, gated->outputs, inputs);
    if (plain == NULL)
        return;
    plain->inputs = inputs;
    plain->dtype = gated->dtype;
    plain->data = data;
    remember_shape(weights, first, inputs);
}

void weights_table(struct weights *weights,
                   struct linear *out,
                   const char *name,
                   size_t rows,
                   size_t width)
{
    char full[NAME_SIZE];
    (void)snprintf(full, sizeof(full), "%s.weight", name);
    struct wanted wanted = {
        .name = full, .shape = {2, {rows, width}}, .keep = KEEP_AS_IN_FILE};
    *out = (struct linear){.outputs = rows, .inputs = width};
    out->data = bind(weights, &wanted, &out->dtype);
}

void weights_convolution(struct weights *weights,
                         struct linear *out,
                         const char *name,
                         size_t outputs,
                         size_t inputs)
{
    struct tensor_shape shape = {4, {outputs, inputs, 1, 1}};
    bind_layer(weights, out, name, &shape);
    bind_bias(weights, &out->bias, name, outputs);
}

void weights_filter(struct weights *weights,
                    struct filter *out,
                    const char *name,
                    size_t outputs,
                    size_t inputs)
{
    char full[NAME_SIZE];
    enum dtype dtype;
    (void)snprintf(full, sizeof(full), "%s.weight", name);
    struct wanted wanted = {
        .name = full,
        .shape = {4, {outputs, inputs, 3, 3}},
        .keep = KEEP_FILTER,
        .packed = convolution_packed_size(outputs, inputs, out->doubled),
        .inputs = inputs,
        .doubled = out->doubled,
    };
    out->outputs = outputs;
    out->inputs = inputs;
    out->panels = bind(weights, &wanted, &dtype);
    remember_shape(weights, outputs, inputs);
    bind_bias(weights, &out->bias, name, outputs);
}

struct weights_totals weights_totals(const struct weights *weights)
{
    const struct weight_files *files = &weights->files;
    return (struct weights_totals){
        .parameters = files->parameters,
        .file_bytes = files->bytes,
        .memory_bytes = weights->memory_bytes,
        .unused_tensors = files->tensors - size_min(weights->n_bound, files->tensors),
    };
}

void weights_each_shape(const struct weights *weights,
                        void (*visit)(void *context, size_t outputs, size_t inputs),
                        void *context)
{
    for (size_t i = 0; i < weights->n_shapes; i++)
        visit(context, weights->shapes[i].outputs, weights->shapes[i].inputs);
}
