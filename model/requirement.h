/*
 * requirement - what a JSON file has to say for the code here to do the same as the
 * library that wrote it: tables of paths and of what must stand there.
 *
 * Threads: pure functions. Ownership: values and texts are borrowed from the JSON.
 */
#ifndef SLUICE_MODEL_REQUIREMENT_H
#define SLUICE_MODEL_REQUIREMENT_H

#include "base/err.h"

struct json_t;

/* The last of a list has no path. */
struct requirement {
    const char *path; /* as requirement_value takes it */
    enum {
        IS_TEXT,  /* the string `text` */
        OR_UNSET, /* the same, or nothing at all */
        IS_KIND,  /* a value of the kind `text`, see requirement_kind */
        IS_OFF,   /* absent, null, false, zero or empty */
    } form;
    const char *text;
};

/* The value at a path of member names and array indices such as "a.b.0"; NULL when there
 * is none. */
struct json_t *requirement_value(struct json_t *root, const char *path);

/* "an object", "a string", "true", ...; "absent" for NULL. */
const char *requirement_kind(const struct json_t *value);

/* ERR_UNSUPPORTED with the first path of the list that is not as required, what stands
 * there and what is implemented. */
enum err_code
requirement_check(struct json_t *root, const struct requirement *list, struct err *err);

#endif
