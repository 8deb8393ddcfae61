#include "model/safetensors.h"

#include "base/size.h"

#include <jansson.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PREFIX_BYTES = 8, MAX_HEADER_BYTES = 16 * 1024 * 1024 };

struct safetensors {
    int fd;
    char *path;
    uint64_t size;
    json_t *header;         /* owns the names */
    struct tensor *tensors; /* in the order of their bytes */
    size_t *by_name;        /* indices into tensors, sorted by name */
    size_t count;
};

static const struct {
    const char *name;
    enum dtype dtype;
    size_t bytes;
} dtypes[] = {
    {"F32", DTYPE_F32, 4},    {"F16", DTYPE_F16, 2},       {"BF16", DTYPE_BF16, 2},
    {"I64", DTYPE_I64, 8},    {"F64", DTYPE_OTHER, 8},     {"I32", DTYPE_OTHER, 4},
    {"I16", DTYPE_OTHER, 2},  {"I8", DTYPE_OTHER, 1},      {"U64", DTYPE_OTHER, 8},
    {"U32", DTYPE_OTHER, 4},  {"U16", DTYPE_OTHER, 2},     {"U8", DTYPE_OTHER, 1},
    {"BOOL", DTYPE_OTHER, 1}, {"F8_E4M3", DTYPE_OTHER, 1}, {"F8_E5M2", DTYPE_OTHER, 1},
};

void safetensors_shape_text(const size_t *shape,
                            size_t rank,
                            char text[SAFETENSORS_SHAPE_TEXT_SIZE])
{
    size_t at = 0;
    text[at++] = '[';
    for (size_t i = 0; i < rank && at + 24 < SAFETENSORS_SHAPE_TEXT_SIZE; i++)
        at += (size_t)snprintf(text + at, SAFETENSORS_SHAPE_TEXT_SIZE - at, "%s%zu",
                               i == 0 ? "" : ", ", shape[i]);
    text[at++] = ']';
    text[at] = '\0';
}

static enum err_code
read_at(int fd, void *data, size_t length, uint64_t offset, struct err *err)
{
    char *bytes = data;
    for (size_t at = 0; at < length;) {
        ssize_t n = pread(fd, bytes + at, length - at, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "cannot read: %s", strerror(errno));
        if (n == 0)
            return err_set(err, ERR_IO,
                           "the file ends at byte %" PRIu64 ", expected %zu more",
                           offset + at, length - at);
        at += (size_t)n;
    }
    return ERR_OK;
}

/* Reads the header's JSON into file->header and its length into *length. */
static enum err_code
read_header(struct safetensors *file, uint64_t *length, struct err *err)
{
    unsigned char prefix[PREFIX_BYTES];
    if (file->size < PREFIX_BYTES)
        return err_set(err, ERR_FORMAT,
                       "%" PRIu64 " bytes, expected at least 8: not a safetensors file",
                       file->size);
    enum err_code code = read_at(file->fd, prefix, sizeof(prefix), 0, err);
    if (code != ERR_OK)
        return code;

    uint64_t n = 0;
    for (size_t i = PREFIX_BYTES; i-- > 0;)
        n = n << 8 | prefix[i];
    if (n > MAX_HEADER_BYTES || n > file->size - PREFIX_BYTES)
        return err_set(err, ERR_FORMAT,
                       "the header claims %" PRIu64 " bytes, the file has %" PRIu64
                       " and the limit is %d",
                       n, file->size - PREFIX_BYTES, MAX_HEADER_BYTES);

    char *text = malloc((size_t)n + 1);
    if (text == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the header");
    code = read_at(file->fd, text, (size_t)n, PREFIX_BYTES, err);
    if (code == ERR_OK) {
        json_error_t parse;
        file->header = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &parse);
        if (file->header == NULL)
            code = err_set(err, ERR_FORMAT, "the header is not valid JSON: %s at byte %d",
                           parse.text, parse.position);
        else if (!json_is_object(file->header))
            code = err_set(err, ERR_FORMAT, "the header is not a JSON object");
    }
    free(text);
    *length = n;
    return code;
}

static bool json_to_size(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static enum err_code
read_shape(struct tensor *tensor, const json_t *shape, struct err *err)
{
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_MAX_RANK)
        return err_set(err, ERR_FORMAT,
                       "tensor %.100s: shape is not a list of at most %d sizes",
                       tensor->name, SAFETENSORS_MAX_RANK);
    tensor->rank = json_array_size(shape);
    tensor->elements = 1;
    for (size_t i = 0; i < tensor->rank; i++) {
        uint64_t side;
        if (!json_to_size(json_array_get(shape, i), &side))
            return err_set(err, ERR_FORMAT, "tensor %.100s: shape[%zu] is not a size",
                           tensor->name, i);
        tensor->shape[i] = (size_t)side;
        tensor->elements = size_multiply(tensor->elements, tensor->shape[i]);
    }
    return ERR_OK;
}

/* Fills everything but the absolute offset; *begin is relative to the data. */
static enum err_code
read_tensor(struct tensor *tensor, const char *name, const json_t *entry, struct err *err)
{
    tensor->name = name;
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    size_t size = 0;
    for (size_t i = 0; dtype != NULL && i < sizeof(dtypes) / sizeof(dtypes[0]); i++) {
        if (strcmp(dtype, dtypes[i].name) != 0)
            continue;
        tensor->dtype = dtypes[i].dtype;
        tensor->dtype_name = dtypes[i].name;
        size = dtypes[i].bytes;
    }
    if (size == 0)
        return err_set(err, ERR_FORMAT, "tensor %.100s: unknown dtype %.20s", name,
                       dtype == NULL ? "(none)" : dtype);

    enum err_code code = read_shape(tensor, json_object_get(entry, "shape"), err);
    if (code != ERR_OK)
        return code;

    const json_t *offsets = json_object_get(entry, "data_offsets");
    uint64_t begin, end;
    if (json_array_size(offsets) != 2 ||
        !json_to_size(json_array_get(offsets, 0), &begin) ||
        !json_to_size(json_array_get(offsets, 1), &end) || end < begin)
        return err_set(err, ERR_FORMAT, "tensor %.100s: data_offsets is not [begin, end]",
                       name);
    tensor->offset = begin;
    tensor->bytes = (size_t)(end - begin);
    if (size_multiply(tensor->elements, size) != tensor->bytes) {
        char shape[SAFETENSORS_SHAPE_TEXT_SIZE];
        safetensors_shape_text(tensor->shape, tensor->rank, shape);
        return err_set(
            err, ERR_FORMAT,
            "tensor %.100s: %s of %s does not take the %zu bytes of its data_offsets",
            name, tensor->dtype_name, shape, tensor->bytes);
    }
    return ERR_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* No gap, no overlap, and the last byte of the file is the last of a tensor. */
static enum err_code
check_offsets(struct safetensors *file, uint64_t data_start, struct err *err)
{
    uint64_t expected = 0;
    for (size_t i = 0; i < file->count; i++) {
        struct tensor *t = &file->tensors[i];
        if (t->offset != expected)
            return err_set(err, ERR_FORMAT,
                           "tensor %.100s begins at byte %" PRIu64
                           " of the data, expected %" PRIu64 ": a gap or an overlap",
                           t->name, t->offset, expected);
        expected += t->bytes;
        if (expected > file->size)
            break;
        t->offset += data_start;
    }
    if (data_start + expected != file->size)
        return err_set(err, ERR_FORMAT,
                       "the tensors take %" PRIu64 " bytes, the file has %" PRIu64
                       " after its header: truncated, or with something appended",
                       expected, file->size - data_start);
    return ERR_OK;
}

/* Sorts file->by_name by a shell sort: qsort has no argument to pass the names by. */
static void sort_names(struct safetensors *file)
{
    for (size_t i = 0; i < file->count; i++)
        file->by_name[i] = i;
    for (size_t gap = file->count / 2; gap > 0; gap /= 2) {
        for (size_t i = gap; i < file->count; i++) {
            size_t moved = file->by_name[i], at = i;
            while (at >= gap && strcmp(file->tensors[file->by_name[at - gap]].name,
                                       file->tensors[moved].name) > 0) {
                file->by_name[at] = file->by_name[at - gap];
                at -= gap;
            }
            file->by_name[at] = moved;
        }
    }
}

static enum err_code read_tensors(struct safetensors *file, struct err *err)
{
    uint64_t length = 0;
    enum err_code code = read_header(file, &length, err);
    if (code != ERR_OK)
        return code;

    size_t most = json_object_size(file->header) + 1; /* calloc(0) may be NULL */
    file->tensors = calloc(most, sizeof(*file->tensors));
    file->by_name = calloc(most, sizeof(*file->by_name));
    if (file->tensors == NULL || file->by_name == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %zu tensors", most);

    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        code = read_tensor(&file->tensors[file->count++], name, entry, err);
        if (code != ERR_OK)
            return code;
    }
    qsort(file->tensors, file->count, sizeof(*file->tensors), compare_offsets);
    sort_names(file);
    return check_offsets(file, PREFIX_BYTES + length, err);
}

static enum err_code open_file(struct safetensors *file, struct err *err)
{
    struct stat st;
    /* Without O_NONBLOCK a FIFO would wait for somebody to write. */
    file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s",
                       strerror(errno));
    if (fstat(file->fd, &st) != 0)
        return err_set(err, ERR_IO, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_FORMAT, "not a regular file");
    file->size = (uint64_t)st.st_size;
    return read_tensors(file, err);
}

enum err_code
safetensors_open(struct safetensors **out, const char *path, struct err *err)
{
    struct safetensors *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", path);
    file->fd = -1;
    file->path = strdup(path);
    enum err_code code = file->path == NULL ? err_set(err, ERR_NO_MEMORY, "no memory")
                                            : open_file(file, err);
    if (code != ERR_OK) {
        safetensors_close(file);
        return err_prefix(err, code, "%s", path);
    }
    *out = file;
    return ERR_OK;
}

void safetensors_close(struct safetensors *file)
{
    if (file == NULL)
        return;
    if (file->fd >= 0)
        (void)close(file->fd);
    json_decref(file->header);
    free(file->tensors);
    free(file->by_name);
    free(file->path);
    free(file);
}

const char *safetensors_path(const struct safetensors *file)
{
    return file->path;
}

uint64_t safetensors_file_size(const struct safetensors *file)
{
    return file->size;
}

size_t safetensors_count(const struct safetensors *file)
{
    return file->count;
}

const struct tensor *safetensors_at(const struct safetensors *file, size_t i)
{
    return &file->tensors[i];
}

const struct tensor *safetensors_find(const struct safetensors *file, const char *name)
{
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct tensor *tensor = &file->tensors[file->by_name[middle]];
        int order = strcmp(name, tensor->name);
        if (order == 0)
            return tensor;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

enum err_code safetensors_read(const struct safetensors *file,
                               const struct tensor *tensor,
                               void *data,
                               struct err *err)
{
    enum err_code code = read_at(file->fd, data, tensor->bytes, tensor->offset, err);
    return code == ERR_OK
               ? code
               : err_prefix(err, code, "%s: tensor %s", file->path, tensor->name);
}
