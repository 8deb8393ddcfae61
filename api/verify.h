/*
 * verify - POST /v1/verify: whether an image that was made here comes out the same again.
 *
 * The caller reads the file (png_read, parameters), draws its request anew and compares.
 *
 * Threads: pure functions. Ownership: the caller's.
 */
#ifndef SLUICE_API_VERIFY_H
#define SLUICE_API_VERIFY_H

#include "api/parameters.h"
#include "api/png_read.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* A PNG file, borrowed. */
struct verify_file {
    const void *png;
    size_t length;
};

enum verify_result {
    VERIFY_IDENTICAL,   /* byte for byte */
    VERIFY_SAME_PIXELS, /* another file of the same image: its text, or its packing */
    VERIFY_DIFFERENT,
};

/* contents are those of `given`, as they were read; `fresh` is the service's own, and
 * trusted in its size. Fails as png_read does. */
enum err_code verify_compare(enum verify_result *out,
                             const struct verify_file *given,
                             const struct png_contents *contents,
                             const struct verify_file *fresh,
                             struct err *err);

/* {"id": ..., "identical": true, "pixels_identical": true, "parameters": {the request},
 * "made_by": {"model_hash": ..., "version": ...}, "verified_by": {"model_hash": ...,
 * "version": ...}}. version: "sluice 0.1.0". Without memory the buf fails. */
void verify_write(enum verify_result result,
                  const struct parameters *parameters,
                  const char *request_id,
                  const char *version,
                  struct buf *out);

#endif
