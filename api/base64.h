/*
 * base64 - bytes as text, for images inside of JSON (RFC 4648, section 4).
 *
 * Threads: pure. Ownership: *out is the caller's buf.
 */
#ifndef SLUICE_API_BASE64_H
#define SLUICE_API_BASE64_H

#include "base/buf.h"

#include <stddef.h>

/* Appends the padded text, without line breaks; without memory the buf fails. */
void base64_encode(const void *data, size_t length, struct buf *out);

#endif
