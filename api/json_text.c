#include "api/json_text.h"

#include "api/json_memory.h"
#include "base/text.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *json_text_kind(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",  [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return names[json_typeof(value)];
}

struct request_value json_text_value(const char *name, const json_t *value)
{
    struct request_value out = {
        .name = name, .kind = REQUEST_VALUE_OTHER, .word = json_text_kind(value)};
    if (json_is_string(value)) {
        out.kind = REQUEST_VALUE_TEXT;
        out.text = json_string_value(value);
        out.length = json_string_length(value);
    } else if (json_is_number(value)) {
        out.kind = REQUEST_VALUE_NUMBER;
        out.number = json_number_value(value);
    }
    return out;
}

/* Tells where the byte at `offset` stands, in lines and characters from 1. */
static void find_place(const char *body, size_t offset, json_error_t *error)
{
    error->line = error->column = 1;
    for (size_t i = 0; i < offset; i++) {
        bool is_first_byte = ((unsigned char)body[i] & 0xC0) != 0x80;
        error->line += body[i] == '\n';
        error->column = body[i] == '\n' ? 1 : error->column + is_first_byte;
    }
}

json_t *json_text_load(const char *body, size_t length, struct problem *problem)
{
    json_error_t error = {.line = 1,
                          .text = "expected a JSON object, found an empty body"};
    json_t *root = NULL;
    if (length > REQUEST_MAX_BYTES) {
        (void)problem_set(problem, PROBLEM_TOO_LARGE, NULL,
                          "expected at most %d bytes, found %zu", REQUEST_MAX_BYTES,
                          length);
        return NULL;
    }
    const char *nul = length > 0 ? memchr(body, '\0', length) : NULL;
    json_memory_watch();
    if (length > 0 && nul == NULL)
        root = json_loadb(body, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json_memory_lacked()) { /* what was read may lack bytes */
        json_decref(root);
        (void)problem_set(problem, PROBLEM_INTERNAL, NULL, "out of memory");
        return NULL;
    }
    if (json_is_object(root))
        return root;

    if (nul != NULL) { /* jansson 2.14 overlooks it behind a number */
        find_place(body, (size_t)(nul - body), &error);
        (void)snprintf(error.text, sizeof(error.text), "expected JSON, found a NUL byte");
    } else if (root != NULL) {
        find_place(body, strspn(body, " \t\r\n"), &error);
        (void)snprintf(error.text, sizeof(error.text), "expected a JSON object, found %s",
                       json_text_kind(root));
        json_decref(root);
    }
    (void)problem_set(problem, PROBLEM_MALFORMED, NULL, "%s", error.text);
    problem->line = error.line;
    problem->column = error.column > 0 ? error.column : 1; /* 0: after a newline */
    return NULL;
}

json_t *json_text_make(const char *text)
{
    size_t length = strlen(text);
    if (text_is_utf8(text, length, NULL))
        return json_stringn(text, length);
    char *plain = malloc(length);
    json_t *out = NULL;
    if (plain != NULL) {
        for (size_t i = 0; i < length; i++)
            plain[i] = (signed char)text[i] < 0 ? '_' : text[i];
        out = json_stringn(plain, length);
    }
    free(plain);
    return out;
}

json_t *json_text_add(json_t *object, const char *name, const char *text)
{
    if (text == NULL || json_object_set_new(object, name, json_text_make(text)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static int append(const char *data, size_t length, void *buf)
{
    return buf_append(buf, data, length) ? 0 : -1;
}

void json_text_write(json_t *root, struct buf *out)
{
    if (root == NULL ||
        json_dump_callback(root, append, out,
                           JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) != 0)
        out->failed = true;
    json_decref(root);
}

void json_text_write_open(json_t *root, struct buf *out)
{
    assert(root == NULL || json_object_size(root) > 0);
    json_text_write(root, out);
    if (!out->failed)
        out->data[--out->length] = '\0';
}

void json_text_string(const char *text, struct buf *out)
{
    json_text_write(json_text_make(text), out);
}
