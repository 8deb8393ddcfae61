#include "model/weight_files.h"

#include <jansson.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 256 };

/* What the index of a file is called behind that file's name. */
static const char INDEX_END[] = ".index.json";

static enum err_code
open_shard(struct weight_files *files, const char *name, struct err *err)
{
    char path[2 * CONFIG_PATH_SIZE];
    if (strchr(name, '/') != NULL)
        return err_set(err, ERR_FORMAT,
                       "shard %.100s: a file name without folders is expected", name);
    if (files->n == WEIGHT_FILES_MAX)
        return err_set(err, ERR_UNSUPPORTED, "more than %d shards", WEIGHT_FILES_MAX);
    (void)snprintf(path, sizeof(path), "%s/%s", files->folder, name);
    enum err_code code = safetensors_open(&files->files[files->n], path, err);
    if (code == ERR_OK)
        files->n++;
    return code;
}

/* Behind the folder, which open_shard put before it. */
static const char *file_name(const struct safetensors *file)
{
    const char *slash = strrchr(safetensors_path(file), '/');
    return slash != NULL ? slash + 1 : safetensors_path(file);
}

static bool is_open(const struct weight_files *files, const char *name)
{
    for (size_t i = 0; i < files->n; i++) {
        if (strcmp(file_name(files->files[i]), name) == 0)
            return true;
    }
    return false;
}

/* index.json: {"weight_map": {"<tensor>": "<file>", ...}}; every file it names is opened.
 */
static enum err_code
open_shards(struct weight_files *files, const char *index, struct err *err)
{
    struct config config;
    enum err_code code = config_open(&config, files->folder, index, err);
    if (code == ERR_NOT_FOUND)
        return err_set(err, code, "%s: neither %.*s nor %s is there", files->folder,
                       (int)(strlen(index) - strlen(INDEX_END)), index, index);
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
        if (code == ERR_OK && !is_open(files, json_string_value(file)))
            code = open_shard(files, json_string_value(file), err);
    }
    if (code != ERR_OK)
        code = err_prefix(err, code, "%s", config.path);
    config_close(&config);
    return code;
}

/* Beside a whole file an index may name that file, and no other: of two sets of weights
 * diffusers takes the index's and transformers the whole file. */
static enum err_code check_index(const struct weight_files *files,
                                 const char *single,
                                 const char *index,
                                 struct err *err)
{
    struct config config;
    struct err unread;
    enum err_code code = config_open(&config, files->folder, index, &unread);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code != ERR_OK)
        return err_set(err, code, "%s", unread.message);

    const char *tensor;
    json_t *file;
    json_object_foreach(json_object_get(config.json, "weight_map"), tensor, file)
    {
        const char *name = json_string_value(file);
        if (code == ERR_OK && (name == NULL || strcmp(name, single) != 0))
            code = err_set(err, ERR_FORMAT,
                           "%s: %s is there, and %s, which names other files: expected "
                           "one of the two; remove what is not meant",
                           files->folder, single, index);
    }
    config_close(&config);
    return code;
}

static void count(struct weight_files *files)
{
    for (size_t f = 0; f < files->n; f++) {
        const struct safetensors *file = files->files[f];
        files->bytes += (size_t)safetensors_file_size(file);
        files->tensors += safetensors_count(file);
        for (size_t i = 0; i < safetensors_count(file); i++) {
            const struct tensor *tensor = safetensors_at(file, i);
            if (tensor->dtype != DTYPE_I64 && tensor->dtype != DTYPE_OTHER)
                files->parameters += tensor->elements;
        }
    }
}

enum err_code weight_files_open(struct weight_files *files,
                                const char *folder,
                                const char *stem,
                                struct err *err)
{
    char single[NAME_SIZE], index[NAME_SIZE + sizeof(INDEX_END)];
    *files = (struct weight_files){0};
    (void)snprintf(files->folder, sizeof(files->folder), "%s", folder);
    (void)snprintf(single, sizeof(single), "%s.safetensors", stem);
    (void)snprintf(index, sizeof(index), "%s%s", single, INDEX_END);

    struct err first;
    enum err_code code = open_shard(files, single, &first);
    if (code == ERR_NOT_FOUND)
        code = open_shards(files, index, err);
    else if (code == ERR_OK)
        code = check_index(files, single, index, err);
    else
        (void)err_set(err, code, "%s", first.message);
    if (code != ERR_OK) {
        weight_files_close(files);
        return code;
    }
    count(files);
    return ERR_OK;
}

void weight_files_close(struct weight_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        safetensors_close(files->files[i]);
    files->n = 0;
}

/* The tensor in the first file from *at on that has it; *at is behind that file then. */
static struct weight_place
find_next(const struct weight_files *files, const char *name, size_t *at)
{
    while (*at < files->n) {
        const struct safetensors *file = files->files[(*at)++];
        const struct tensor *tensor = safetensors_find(file, name);
        if (tensor != NULL)
            return (struct weight_place){file, tensor};
    }
    return (struct weight_place){0};
}

enum err_code weight_files_find(const struct weight_files *files,
                                const char *name,
                                const struct tensor_shape *shape,
                                struct weight_place *place,
                                struct err *err)
{
    size_t at = 0;
    const struct weight_place found = find_next(files, name, &at);
    const struct weight_place again = find_next(files, name, &at);
    const struct tensor *tensor = found.tensor;
    if (tensor == NULL)
        return err_set(err, ERR_NOT_FOUND, "%s: tensor %s is missing", files->folder,
                       name);
    const char *path = safetensors_path(found.file);
    /* An index may say which is meant, but its readers do not ask it: they let the file
     * that they read last win. */
    if (again.tensor != NULL)
        return err_set(err, ERR_FORMAT,
                       "%s: tensor %s is in %s too, expected in one file", path, name,
                       file_name(again.file));
    if (tensor->rank != shape->rank ||
        memcmp(tensor->shape, shape->sides, shape->rank * sizeof(size_t)) != 0) {
        char expected[SAFETENSORS_SHAPE_TEXT_SIZE], other[SAFETENSORS_SHAPE_TEXT_SIZE];
        safetensors_shape_text(shape->sides, shape->rank, expected);
        safetensors_shape_text(tensor->shape, tensor->rank, other);
        return err_set(err, ERR_FORMAT, "%s: tensor %s has shape %s, expected %s", path,
                       name, other, expected);
    }
    if (tensor->dtype != DTYPE_F32 && tensor->dtype != DTYPE_F16 &&
        tensor->dtype != DTYPE_BF16)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: tensor %s has type %s, expected F32, F16 or BF16", path, name,
                       tensor->dtype_name);
    *place = found;
    return ERR_OK;
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

/* With all that says what its bytes mean but its shape, which follows from the configs,
 * and an end to each part. */
static void add_to_digest(struct digest *digest, const struct tensor *t, const void *raw)
{
    char size[24];
    (void)snprintf(size, sizeof(size), "%zu", t->bytes);
    digest_add(digest, t->name, strlen(t->name) + 1);
    digest_add(digest, t->dtype_name, strlen(t->dtype_name) + 1);
    digest_add(digest, size, strlen(size) + 1);
    digest_add(digest, raw, t->bytes);
}

enum err_code weight_place_read(const struct weight_place *place,
                                struct digest *digest,
                                void *raw,
                                struct err *err)
{
    const struct tensor *tensor = place->tensor;
    enum err_code code = safetensors_read(place->file, tensor, raw, err);
    if (code != ERR_OK)
        return code;
    add_to_digest(digest, tensor, raw);
    if (!all_finite(tensor->dtype, raw, tensor->elements))
        return err_set(err, ERR_FORMAT, "%s: tensor %s holds NaN or infinity",
                       safetensors_path(place->file), tensor->name);
    return ERR_OK;
}
