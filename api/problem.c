#include "api/problem.h"

#include "base/text.h"

#include <jansson.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *type, *title;
} kinds[] = {
#define X(name, status, type, title) [PROBLEM_##name] = {status, type, title},
    PROBLEM_MAP(X)
#undef X
};

/* Whether a UTF-8 character starts at text, and how many bytes it has. */
static bool is_character(const char *text, size_t left, size_t *length)
{
    for (*length = 1; *length <= 4 && *length <= left; (*length)++) {
        if (text_is_utf8(text, *length, NULL))
            return true;
    }
    return false;
}

/* Makes text UTF-8 in place: each byte that belongs to no character (or to one that was
 * cut at the end) becomes '?'. Most of what a problem quotes comes from a client, and
 * JSON holds nothing but UTF-8. */
static void make_utf8(char *text)
{
    size_t length = strlen(text), n;
    for (size_t at = 0; at < length; at += n) {
        if (!is_character(text + at, length - at, &n)) {
            text[at] = '?';
            n = 1;
        }
    }
}

bool problem_set(struct problem *problem,
                 enum problem_kind kind,
                 const char *field,
                 const char *format,
                 ...)
{
    /* The arguments may point into *problem, so that is written last. */
    struct problem next = {.kind = kind};
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(next.detail, sizeof(next.detail), format, ap);
    va_end(ap);
    make_utf8(next.detail);
    if (field != NULL)
        (void)snprintf(next.field, sizeof(next.field), "%s", field);
    make_utf8(next.field);
    *problem = next;
    return false;
}

int problem_status(enum problem_kind kind)
{
    return kinds[kind].status;
}

/* Rounded up; a day at most, which also keeps what is no number out. */
static unsigned milliseconds(double seconds)
{
    static const double most = 86400.0;
    if (!(seconds > 0.0))
        return 0;
    double clamped = seconds < most ? seconds : most;
    unsigned whole = (unsigned)(clamped * 1e3);
    return whole + ((double)whole < clamped * 1e3);
}

unsigned problem_retry_milliseconds(const struct problem *problem)
{
    return milliseconds(problem->retry_after);
}

unsigned problem_retry_seconds(const struct problem *problem)
{
    return (problem_retry_milliseconds(problem) + 999) / 1000;
}

const char *problem_type(enum problem_kind kind)
{
    return kinds[kind].type;
}

/* Adds a string unless it is NULL or empty. */
static bool add_text(json_t *object, const char *key, const char *value)
{
    return value == NULL || *value == '\0' ||
           json_object_set_new(object, key, json_string(value)) == 0;
}

/* Adds a number unless it is 0. */
static bool add_number(json_t *object, const char *key, json_int_t value)
{
    return value == 0 || json_object_set_new(object, key, json_integer(value)) == 0;
}

static int append(const char *data, size_t length, void *buf)
{
    return buf_append(buf, data, length) ? 0 : -1;
}

void problem_write(const struct problem *problem, const char *request_id, struct buf *out)
{
    char type[64];
    (void)snprintf(type, sizeof(type), "/problems/%s", problem_type(problem->kind));

    json_t *object = json_object();
    bool whole =
        object != NULL && add_text(object, "type", type) &&
        add_text(object, "title", kinds[problem->kind].title) &&
        add_number(object, "status", problem_status(problem->kind)) &&
        add_text(object, "detail", problem->detail) &&
        add_text(object, "instance", request_id) &&
        add_text(object, "field", problem->field) &&
        add_number(object, "line", problem->line) &&
        add_number(object, "column", problem->column) &&
        add_number(object, "retry_after", problem_retry_seconds(problem)) &&
        add_number(object, "retry_after_ms", problem_retry_milliseconds(problem)) &&
        add_number(object, "predicted_wait_ms", milliseconds(problem->wait)) &&
        add_number(object, "fastest_ms", milliseconds(problem->fastest)) &&
        json_dump_callback(object, append, out, JSON_COMPACT) == 0;
    json_decref(object);
    if (whole)
        (void)buf_append(out, "\n", 1);
    else
        out->failed = true;
}
