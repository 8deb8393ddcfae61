/*
 * weights - a component's tensors, whatever number of files they are in, bound by name
 * to the places of a model that use them.
 *
 * A model has one function that names all its tensors with their shapes. It runs twice:
 * while CHECKING, every tensor is looked up and its type and shape compared, and the
 * memory is counted; while LOADING, the memory is there and the values are read. So what
 * `inspect` reports is what `serve` loads.
 *
 * The first failure is remembered; the calls after it do nothing. Look once, at
 * weights_check.
 *
 * Threads: one at a time. Ownership: new from weights_open, freed by weights_close; what
 * was loaded belongs to the weights and lives until then.
 */
#ifndef SLUICE_MODEL_WEIGHTS_H
#define SLUICE_MODEL_WEIGHTS_H

#include "base/digest.h"
#include "base/err.h"
#include "model/kernels/convolution.h"
#include "model/linear.h"

#include <stdbool.h>
#include <stddef.h>

struct weights;

/* What the models that are bound to these weights compute with. */
const struct kernels *weights_kernels(const struct weights *weights);

/* Opens <folder>/<stem>.safetensors or the shards of
 * <folder>/<stem>.safetensors.index.json. */
enum err_code weights_open(struct weights **out,
                           const char *folder,
                           const char *stem,
                           const struct kernels *kernels,
                           struct err *err);
void weights_close(struct weights *weights);

/* From checking to loading: allocates what was counted. Each tensor read from now on is
 * also added to *digest. */
enum err_code
weights_start_loading(struct weights *weights, struct digest *digest, struct err *err);

/* The files are not needed any more; what was loaded stays. */
void weights_close_files(struct weights *weights);

/* The first failure so far, if any. */
enum err_code weights_check(const struct weights *weights, struct err *err);

/* Remembers a failure of the caller's own checks, with the folder's path before it. */
void weights_refuse(struct weights *weights, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The next tensors' names begin with this, as printf has it. */
void weights_prefix(struct weights *weights, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "<prefix><name>.weight" of [outputs, inputs], with "<prefix><name>.bias" if asked. */
void weights_linear(struct weights *weights,
                    struct linear *out,
                    const char *name,
                    size_t outputs,
                    size_t inputs,
                    bool bias);

/* A tensor "<prefix><name>.weight" that holds two layers, one behind the other: `plain`
 * (if not NULL), whose outputs are set by the caller, then one whose first half gates its
 * second (gated->outputs each). Their inputs are the same. */
void weights_linear_gated(struct weights *weights,
                          struct linear *plain,
                          struct linear *gated,
                          const char *name,
                          size_t inputs);

/* A table of rows that are looked up, never multiplied: kept in the file's type. */
void weights_table(struct weights *weights,
                   struct linear *out,
                   const char *name,
                   size_t rows,
                   size_t width);

/* "<prefix><name>" of [n]. */
void weights_vector(struct weights *weights,
                    const float **out,
                    const char *name,
                    size_t n);

/* A 1x1 convolution's "<prefix><name>.weight", [outputs, inputs, 1, 1] in the file, as
 * the layer that it is, and its bias. */
void weights_convolution(struct weights *weights,
                         struct linear *out,
                         const char *name,
                         size_t outputs,
                         size_t inputs);

/* A 3x3 convolution's, as float32; out->doubled is set by the caller. */
void weights_filter(struct weights *weights,
                    struct filter *out,
                    const char *name,
                    size_t outputs,
                    size_t inputs);

/* What was bound so far, and what the files hold. */
struct weights_totals {
    size_t parameters; /* elements of all float tensors in the files */
    size_t file_bytes;
    size_t memory_bytes;   /* of the bound tensors, as kept in memory */
    size_t unused_tensors; /* never bound */
};
struct weights_totals weights_totals(const struct weights *weights);

/* Calls visit once for each distinct shape of the linear layers that were bound. */
void weights_each_shape(const struct weights *weights,
                        void (*visit)(void *context, size_t outputs, size_t inputs),
                        void *context);

#endif
