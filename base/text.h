/*
 * text - what the program asks of strings: UTF-8, numbers, comparison, whole files.
 *
 * Nothing here depends on the locale.
 *
 * Threads: any. Ownership: only text_read_file makes something new.
 */
#ifndef SLUICE_BASE_TEXT_H
#define SLUICE_BASE_TEXT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the bytes are UTF-8 (RFC 3629: shortest forms, no surrogates, at most
 * U+10FFFF). *characters (if not NULL) becomes the number of code points. */
bool text_is_utf8(const char *text, size_t length, size_t *characters);

/* The whole of `text` as a decimal number in [low, high]; false otherwise. */
bool text_to_unsigned(const char *text, uint64_t low, uint64_t high, uint64_t *out);

/* A finite number in as few digits as lead back to it. */
enum { TEXT_NUMBER_SIZE = 32 };
void text_from_double(char out[TEXT_NUMBER_SIZE], double value);

/* ASCII letters compare without case. */
bool text_equal_ignoring_case(const char *a, const char *b);

/* Reads a whole regular file of at most `limit` bytes. *out is new, NUL-terminated,
 * and freed by the caller with free(). */
enum err_code text_read_file(
    char **out, size_t *length, const char *path, size_t limit, struct err *err);

#endif
