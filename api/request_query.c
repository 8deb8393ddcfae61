#include "api/request_query.h"

#include "api/request_field.h"
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The query on its way into a request. Decoding never lengthens, so a name and a value
 * fit into one buffer of the query's length and two NULs. */
struct parsing {
    const char *query, *end;
    const char *at, *part; /* the part that is being read starts at `part` */
    char *scratch;
    bool has_field[REQUEST_FIELD_COUNT];
    char model[REQUEST_MODEL_SIZE];
    struct request request;
    const struct request_limits *limits;
    struct problem *problem;
};

/* A decoded piece, NUL-terminated. */
struct piece {
    char *text;
    size_t length;
};

static bool malformed(const struct parsing *parsing, const char *at, const char *what)
{
    (void)problem_set(parsing->problem, PROBLEM_MALFORMED, NULL, "query: %s", what);
    parsing->problem->line = 1;
    parsing->problem->column = (int)(at - parsing->query) + 1;
    return false;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;
    return found != NULL ? (int)(found - digits) % 16 : -1;
}

/* RFC 3986, section 2.1. */
static bool decode_escape(struct parsing *parsing, char *out)
{
    int high = parsing->end - parsing->at > 2 ? hex_digit(parsing->at[1]) : -1;
    int low = high >= 0 ? hex_digit(parsing->at[2]) : -1;
    if (low < 0)
        return malformed(parsing, parsing->at, "expected two hex digits behind %");
    if (high + low == 0)
        return malformed(parsing, parsing->at, "expected text, found a NUL byte");
    *out = (char)(unsigned char)(high * 16 + low);
    parsing->at += 3;
    return true;
}

/* Decodes up to `stop`, an ampersand or the end. */
static bool decode(struct parsing *parsing, char *out, char stop, struct piece *piece)
{
    *piece = (struct piece){.text = out};
    while (parsing->at < parsing->end && *parsing->at != stop && *parsing->at != '&') {
        char *next = &out[piece->length++];
        if (*parsing->at == '%') {
            if (!decode_escape(parsing, next))
                return false;
            continue;
        }
        *next = *parsing->at;
        if (*next == '+')
            *next = ' ';
        parsing->at++;
    }
    out[piece->length] = '\0';
    return true;
}

static bool read_model(struct parsing *parsing, const struct piece *value)
{
    size_t digits = strspn(value->text, "0123456789abcdef");
    if (parsing->model[0] != '\0')
        return malformed(parsing, parsing->part, "model comes twice");
    if (digits != REQUEST_MODEL_SIZE - 1 || value->length != digits)
        return request_refuse(parsing->problem, "model",
                              "the 64 hex digits of a model's digest", "other text");
    memcpy(parsing->model, value->text, REQUEST_MODEL_SIZE);
    return true;
}

static bool
read_field(struct parsing *parsing, const char *name, const struct piece *text)
{
    const struct request_field *field = request_field_find(name);
    if (field == NULL)
        return request_field_unknown(name, parsing->problem);
    bool *has_field = &parsing->has_field[request_field_index(field)];
    if (*has_field) {
        char what[96];
        (void)snprintf(what, sizeof(what), "%s comes twice", name);
        return malformed(parsing, parsing->part, what);
    }
    *has_field = true;

    struct request_value value = {.name = name,
                                  .kind = REQUEST_VALUE_PLAIN,
                                  .text = text->text,
                                  .length = text->length};
    return request_field_set(field, &value, &parsing->request, parsing->limits,
                             parsing->problem);
}

/* name[=value], up to an ampersand or the end. */
static bool read_part(struct parsing *parsing)
{
    struct piece name, value;
    parsing->part = parsing->at;
    if (!decode(parsing, parsing->scratch, '=', &name))
        return false;
    if (name.length == 0)
        return malformed(parsing, parsing->part, "expected a field's name");
    if (parsing->at < parsing->end && *parsing->at == '=')
        parsing->at++;
    if (!decode(parsing, name.text + name.length + 1, '&', &value))
        return false;
    if (strcmp(name.text, "model") == 0)
        return read_model(parsing, &value);
    return read_field(parsing, name.text, &value);
}

/* What makes the answer the same tomorrow. */
static bool check_cacheable(const struct request *request, struct problem *problem)
{
    if (!request->seed_was_given)
        return request_refuse(problem, "seed", "an integer, as a GET must name its seed",
                              "none");
    if (request->deadline_milliseconds != 0)
        return problem_set(problem, PROBLEM_INVALID, "deadline_ms",
                           "deadline_ms: a GET takes none, as its answer is cached; "
                           "POST does");
    return true;
}

static bool read_query(struct parsing *parsing)
{
    while (parsing->at < parsing->end) {
        if (!read_part(parsing))
            return false;
        if (parsing->at < parsing->end)
            parsing->at++;
    }
    return check_cacheable(&parsing->request, parsing->problem) &&
           request_check(&parsing->request, parsing->limits, parsing->problem);
}

bool request_query_parse(struct request *out,
                         char model[REQUEST_MODEL_SIZE],
                         const char *query,
                         size_t length,
                         const struct request_limits *limits,
                         struct problem *problem)
{
    if (length > REQUEST_MAX_QUERY)
        return problem_set(problem, PROBLEM_MALFORMED, NULL,
                           "query: expected at most %d bytes, found %zu",
                           REQUEST_MAX_QUERY, length);
    struct parsing parsing = {.query = query,
                              .end = query + length,
                              .at = query,
                              .scratch = malloc(length + 2),
                              .limits = limits,
                              .problem = problem};
    if (parsing.scratch == NULL)
        return problem_set(problem, PROBLEM_INTERNAL, NULL, "out of memory");
    bool is_good =
        request_init(&parsing.request, limits, problem) && read_query(&parsing);
    free(parsing.scratch);
    if (is_good) {
        *out = parsing.request;
        memcpy(model, parsing.model, REQUEST_MODEL_SIZE);
    } else {
        request_finish(&parsing.request);
    }
    return is_good;
}

/* Unreserved characters (RFC 3986, section 2.3) stand for themselves. */
static void write_escaped(const char *text, size_t length, struct buf *out)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\0' && strchr(plain, text[i]) != NULL)
            (void)buf_append(out, &text[i], 1);
        else
            (void)buf_print(out, "%%%02X", (unsigned)(unsigned char)text[i]);
    }
}

void request_query_write(const struct request *request,
                         unsigned index,
                         const char *model,
                         struct buf *out)
{
    const struct sampling *sampling = &request->sampling;
    char guidance[TEXT_NUMBER_SIZE];
    text_from_double(guidance, sampling->guidance);
    (void)buf_print(out, "prompt=");
    write_escaped(request->prompt, request->prompt_bytes, out);
    (void)buf_print(out, "&negative_prompt=");
    write_escaped(request->negative_prompt, request->negative_prompt_bytes, out);
    (void)buf_print(out, "&seed=%lu&steps=%u&width=%zu&height=%zu&guidance=%s&solver=%s",
                    (unsigned long)sampling->seed + index, sampling->steps,
                    sampling->width, sampling->height, guidance,
                    solver_name(sampling->solver));
    if (model != NULL)
        (void)buf_print(out, "&model=%s", model);
}
