/*
 * request_field - the fields of a request, one row each, for every source of values: a
 * JSON body, a query, another API's names for them, a PNG's text.
 *
 * Strict: a wrong type and a value out of its range are refused by name, nothing is
 * corrected. A number such as 4.0 counts as an integer.
 *
 * Threads: pure over a constant table. Ownership: a request's strings are replaced by
 * copies of the values.
 */
#ifndef SLUICE_API_REQUEST_FIELD_H
#define SLUICE_API_REQUEST_FIELD_H

#include "api/request.h"

#include <stdbool.h>
#include <stddef.h>

struct request_field;

enum { REQUEST_FIELD_COUNT = 12 };

enum request_value_kind {
    REQUEST_VALUE_TEXT,
    REQUEST_VALUE_NUMBER,
    REQUEST_VALUE_PLAIN, /* text without a type: for numbers, one as JSON writes them */
    REQUEST_VALUE_OTHER, /* fits no field */
};

/* A value on its way into a request. */
struct request_value {
    const char *name; /* what the client calls the field: refusals name it so */
    enum request_value_kind kind;
    const char *text; /* of `length` bytes, NUL-terminated; text and plain */
    size_t length;
    double number;    /* numbers only */
    const char *word; /* what a refusal says was found when the type is wrong: "null" */
};

enum { REQUEST_QUOTE_SIZE = sizeof(((struct problem *)NULL)->field) };

/* Copies as many whole characters of a client's text as a problem quotes. */
void request_quote(char out[REQUEST_QUOTE_SIZE], const char *text);

/* NULL when there is none of that name. */
const struct request_field *request_field_find(const char *name);

/* From 0, below REQUEST_FIELD_COUNT. */
size_t request_field_index(const struct request_field *field);

/* What a number may be. A low that equals high leaves one value, for a reason. */
struct request_range {
    double low, high;
    size_t multiple_of; /* 0: any number, 1: an integer, else a multiple */
    const char *reason; /* why there is one value only; static */
};

/* Numbers only. */
struct request_range request_field_range(const struct request_field *field,
                                         const struct request_limits *limits);

/* Puts a value into a request. On false *problem is PROBLEM_INVALID, or PROBLEM_INTERNAL
 * without memory. */
bool request_field_set(const struct request_field *field,
                       const struct request_value *value,
                       struct request *request,
                       const struct request_limits *limits,
                       struct problem *problem);

/* Refuses an unknown field, naming the one that was meant if a typing error explains the
 * difference. Returns false. */
bool request_field_unknown(const char *name, struct problem *problem);

/* "name: expected <expected>, found <found>". Returns false. */
bool request_refuse(struct problem *problem,
                    const char *name,
                    const char *expected,
                    const char *found);

/* Checks each field alone, under its own name. */
bool request_field_check_all(const struct request *request,
                             const struct request_limits *limits,
                             struct problem *problem);

#endif
