/*
 * safetensors - one weight file: its table of tensors, checked, and their bytes.
 *
 *   offset 0      u64, little-endian: N, the length of the header
 *   offset 8      N bytes of JSON: {"name": {"dtype": "BF16", "shape": [2, 3],
 *                 "data_offsets": [begin, end)}, ..., "__metadata__": {...}}
 *   offset 8 + N  the tensors' bytes, row-major, little-endian, without gap or overlap
 *
 * The rules are those of huggingface/safetensors (README "Format", tensor.rs
 * `Metadata::validate`): offsets start at 0, each begins where the one before ended,
 * the last ends at the end of the file, and each length is that of its shape and type.
 *
 * Threads: constant after opening; reads may run at once. Ownership: new from
 * safetensors_open, freed by safetensors_close; tensors are borrowed from the file.
 */
#ifndef SLUICE_MODEL_SAFETENSORS_H
#define SLUICE_MODEL_SAFETENSORS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SAFETENSORS_MAX_RANK = 8 };

enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_I64,
    DTYPE_OTHER, /* named by the format, but of no use here */
};

struct tensor {
    const char *name;
    enum dtype dtype;
    const char *dtype_name; /* as the file spells it */
    size_t rank;
    size_t shape[SAFETENSORS_MAX_RANK];
    size_t elements; /* product of shape */
    uint64_t offset; /* from the start of the file */
    size_t bytes;
};

struct safetensors;

enum err_code
safetensors_open(struct safetensors **out, const char *path, struct err *err);
void safetensors_close(struct safetensors *file);

const char *safetensors_path(const struct safetensors *file);
uint64_t safetensors_file_size(const struct safetensors *file);
size_t safetensors_count(const struct safetensors *file);

/* The i-th tensor in the order of the file's bytes. */
const struct tensor *safetensors_at(const struct safetensors *file, size_t i);

/* NULL when the file has no tensor of that name. */
const struct tensor *safetensors_find(const struct safetensors *file, const char *name);

/* Reads the tensor's bytes as they are in the file; data has room for tensor->bytes. */
enum err_code safetensors_read(const struct safetensors *file,
                               const struct tensor *tensor,
                               void *data,
                               struct err *err);

/* "[2, 3]" for messages. */
enum { SAFETENSORS_SHAPE_TEXT_SIZE = 96 };
void safetensors_shape_text(const size_t *shape,
                            size_t rank,
                            char text[SAFETENSORS_SHAPE_TEXT_SIZE]);

#endif
