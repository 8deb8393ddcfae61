/*
 * weight_files - a component's weight files, one or several shards, as one set of
 * tensors.
 *
 * Threads: constant after opening. Ownership: the struct is its owner's; what it opened
 * is closed by weight_files_close, and tensors are borrowed until then.
 */
#ifndef SLUICE_MODEL_WEIGHT_FILES_H
#define SLUICE_MODEL_WEIGHT_FILES_H

#include "base/digest.h"
#include "base/err.h"
#include "model/config.h"
#include "model/safetensors.h"

#include <stddef.h>

enum { WEIGHT_FILES_MAX = 256 };

struct weight_files {
    char folder[CONFIG_PATH_SIZE];
    struct safetensors *files[WEIGHT_FILES_MAX];
    size_t n;
    size_t tensors, parameters, bytes; /* of all files; parameters count floats only */
};

/* Opens <folder>/<stem>.safetensors, or the shards that
 * <folder>/<stem>.safetensors.index.json names; ERR_FORMAT when both are there and the
 * index names other files. On failure nothing stays open. */
enum err_code weight_files_open(struct weight_files *files,
                                const char *folder,
                                const char *stem,
                                struct err *err);
void weight_files_close(struct weight_files *files);

struct tensor_shape {
    size_t rank;
    size_t sides[4];
};

/* A tensor, and the file that holds it. */
struct weight_place {
    const struct safetensors *file;
    const struct tensor *tensor;
};

/* ERR_NOT_FOUND when no file has a tensor of that name, ERR_FORMAT when two have one or
 * its shape is another, ERR_UNSUPPORTED when its type is not F32, F16 or BF16. */
enum err_code weight_files_find(const struct weight_files *files,
                                const char *name,
                                const struct tensor_shape *shape,
                                struct weight_place *place,
                                struct err *err);

/* Reads the tensor's bytes as they are in the file to `raw`, which has room for them, and
 * adds its name, type, length and bytes to *digest. ERR_FORMAT when a value is NaN or
 * infinite. */
enum err_code weight_place_read(const struct weight_place *place,
                                struct digest *digest,
                                void *raw,
                                struct err *err);

#endif
