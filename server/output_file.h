/*
 * output_file - bytes to a file, as a whole or not at all.
 *
 * A file is written beside its place and renamed; a pipe or a device is written itself.
 *
 * Threads: any. Ownership: none.
 */
#ifndef SLUICE_SERVER_OUTPUT_FILE_H
#define SLUICE_SERVER_OUTPUT_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* bytes NULL: only tries whether it could be written, which is better learned before a
 * long computation than after it. */
enum err_code
output_file_write(const char *output, const struct buf *bytes, struct err *err);

#endif
