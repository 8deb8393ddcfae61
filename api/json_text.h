/*
 * json_text - JSON text from and to clients, for every dialect.
 *
 * Threads: pure functions. Ownership: said at each.
 */
#ifndef SLUICE_API_JSON_TEXT_H
#define SLUICE_API_JSON_TEXT_H

#include "api/problem.h"
#include "api/request_field.h"
#include "base/buf.h"

#include <jansson.h>

#include <stddef.h>

/* A client's body as an object, new; NULL with a problem when it is none:
 * PROBLEM_TOO_LARGE beyond REQUEST_MAX_BYTES; PROBLEM_MALFORMED with line and column,
 * also for NaN, for numbers that no double holds and for duplicate keys; PROBLEM_INTERNAL
 * without memory. */
json_t *json_text_load(const char *body, size_t length, struct problem *problem);

/* "an object", "a number", "null". */
const char *json_text_kind(const json_t *value);

/* A value for request_field_set; borrows name and value. */
struct request_value json_text_value(const char *name, const json_t *value);

/* A string, new; NULL without memory. What is not UTF-8, as a model folder's name may not
 * be, has its bytes beyond ASCII replaced by '_'. */
json_t *json_text_make(const char *text);

/* Adds a member unless the text is NULL, and gives the object back; NULL, with the object
 * freed, without memory or when the object is NULL. (json_pack's "s*" leaves a member out
 * without memory.) */
json_t *json_text_add(json_t *object, const char *name, const char *text);

/* Appends `root`, compact, and takes it over. NULL, which is what building one without
 * memory gives, makes the buf fail. */
void json_text_write(json_t *root, struct buf *out);

/* The same for an object, but without its closing brace: members that are too large to be
 * copied around follow, each behind a comma. */
void json_text_write_open(json_t *root, struct buf *out);

/* Appends a string in its quotes. */
void json_text_string(const char *text, struct buf *out);

#endif
