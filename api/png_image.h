/*
 * png_image - 8-bit RGB pixels to PNG bytes.
 *
 * The bytes depend on nothing but the arguments and the versions of libpng and zlib:
 * compression level and filter are fixed, and no time, host or thread goes in.
 *
 * Threads: pure. Ownership: *out is the caller's buf.
 */
#ifndef SLUICE_API_PNG_IMAGE_H
#define SLUICE_API_PNG_IMAGE_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* rgb is [height, width, 3]. parameters (may be NULL) becomes the text chunk
 * "parameters": tEXt when it is ASCII, else iTXt in UTF-8. Appends to *out, which is of
 * no use after a failure. ERR_NO_MEMORY when the file does not fit into *out. */
enum err_code png_image_encode(struct buf *out,
                               const uint8_t *rgb,
                               size_t width,
                               size_t height,
                               const char *parameters,
                               struct err *err);

/* Appends what the bytes depend on beside the arguments: "libpng 1.6.39, zlib 1.2.13", of
 * the libraries that are loaded. */
void png_image_versions(struct buf *out);

#endif
