/*
 * png_read - a PNG that this service made, from anybody's bytes: its pixels and the
 * `parameters` text.
 *
 * Bounded before anything is decompressed: its pixels, and the memory that one of its
 * chunks may take. The file's length is the caller's to bound.
 *
 * Threads: pure. Ownership: *out is new; png_read_finish frees it.
 */
#ifndef SLUICE_API_PNG_READ_H
#define SLUICE_API_PNG_READ_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Of a client's file. */
enum { PNG_READ_MAX_BYTES = 4 * 1024 * 1024 };

struct png_contents {
    uint8_t *rgb; /* [height, width, 3] */
    size_t width, height;
    char *parameters; /* UTF-8; NULL when the file has none */
};

/* ERR_INVALID when the file has more pixels than max_pixels, ERR_FORMAT when it is no PNG
 * or none of 8-bit RGB, ERR_NO_MEMORY. *out is untouched then. */
enum err_code png_read(struct png_contents *out,
                       const void *data,
                       size_t length,
                       size_t max_pixels,
                       struct err *err);

/* NULL is accepted. */
void png_read_finish(struct png_contents *contents);

#endif
