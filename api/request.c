#include "api/request.h"

#include "base/size.h"
#include "base/text.h"

#include <jansson.h>

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a number may be. A low that equals high leaves one value, for a reason. */
struct range {
    double low, high;
    size_t multiple_of; /* 0: any number, 1: an integer, else a multiple */
    const char *reason; /* why there is one value only */
};

/* A value of one field on its way from JSON into a request. */
struct reading {
    const struct field *field;
    const json_t *value;
    struct request *request;
    const struct request_limits *limits;
    struct problem *problem;
};

struct field {
    const char *name;
    /* Puts a value into the request; NULL: the field is known, but not served. */
    bool (*read)(const struct reading *reading);
    /* Numbers only. */
    struct range (*range)(const struct request_limits *limits);
    double (*get)(const struct request *request);
    void (*set)(struct request *request, double value);
};

enum { EXPECTED_SIZE = 128, QUOTE_SIZE = sizeof(((struct problem *)NULL)->field) };

/* Copies as many whole characters of a client's text as a problem quotes. */
static void quote(char out[QUOTE_SIZE], const char *text)
{
    size_t n = size_min(strlen(text), QUOTE_SIZE - 1);
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    memcpy(out, text, n);
    out[n] = '\0';
}

static bool
refuse(struct problem *problem, const char *name, const char *expected, const char *found)
{
    return problem_set(problem, PROBLEM_INVALID, name, "%s: expected %s, found %s", name,
                       expected, found);
}

static bool no_memory(struct problem *problem)
{
    (void)problem_set(problem, PROBLEM_INTERNAL, NULL, "out of memory");
    return false;
}

static const char *kind_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",  [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return names[json_typeof(value)];
}

#define NUMBER(name, type)                                                               \
    static double get_##name(const struct request *request)                              \
    {                                                                                    \
        return (double)request->sampling.name;                                           \
    }                                                                                    \
    static void set_##name(struct request *request, double value)                        \
    {                                                                                    \
        request->sampling.name = (type)value;                                            \
    }
NUMBER(seed, uint32_t)
NUMBER(steps, unsigned)
NUMBER(width, size_t)
NUMBER(height, size_t)
NUMBER(guidance, double)
#undef NUMBER

static struct range seed_range(const struct request_limits *limits)
{
    (void)limits;
    return (struct range){.low = 0, .high = UINT32_MAX, .multiple_of = 1};
}

static struct range steps_range(const struct request_limits *limits)
{
    return (struct range){.low = 1, .high = limits->max_steps, .multiple_of = 1};
}

/* One side, when the other is as short as can be. A PNG has at most 2^31 - 1. */
static struct range side_range(const struct request_limits *limits)
{
    size_t longest = size_min(limits->max_pixels / limits->patch, INT32_MAX);
    longest -= longest % limits->patch;
    return (struct range){.low = (double)limits->patch,
                          .high = (double)longest,
                          .multiple_of = limits->patch};
}

static struct range guidance_range(const struct request_limits *limits)
{
    if (limits->is_distilled)
        return (struct range){.low = 1, .high = 1, .reason = "the model is distilled"};
    return (struct range){.low = 1, .high = 20};
}

/* "steps: expected an integer from 1 to 100, found <found>". */
static bool refuse_number(const struct field *field,
                          const struct request_limits *limits,
                          const char *found,
                          struct problem *problem)
{
    struct range range = field->range(limits);
    char kind[40] = "a number", expected[EXPECTED_SIZE];
    if (range.multiple_of == 1)
        (void)snprintf(kind, sizeof(kind), "an integer");
    else if (range.multiple_of > 1)
        (void)snprintf(kind, sizeof(kind), "a multiple of %zu", range.multiple_of);
    if (range.reason != NULL)
        (void)snprintf(expected, sizeof(expected), "%.15g (%s)", range.low, range.reason);
    else
        (void)snprintf(expected, sizeof(expected), "%s from %.15g to %.15g", kind,
                       range.low, range.high);
    return refuse(problem, field->name, expected, found);
}

static bool check_number(const struct field *field,
                         const struct request_limits *limits,
                         double value,
                         struct problem *problem)
{
    struct range range = field->range(limits);
    bool fits = value >= range.low && value <= range.high; /* false for NaN */
    if (fits && (range.multiple_of == 0 || fmod(value, (double)range.multiple_of) == 0))
        return true;
    char found[32];
    (void)snprintf(found, sizeof(found), "%.15g", value);
    if (strtod(found, NULL) != value)
        (void)snprintf(found, sizeof(found), "%.17g", value);
    return refuse_number(field, limits, found, problem);
}

/* Checked before it is narrowed; a double holds every integer of every range. */
static bool read_number(const struct reading *reading)
{
    const struct field *field = reading->field;
    double number = json_number_value(reading->value);
    if (!json_is_number(reading->value))
        return refuse_number(field, reading->limits, kind_name(reading->value),
                             reading->problem);
    if (!check_number(field, reading->limits, number, reading->problem))
        return false;
    field->set(reading->request, number);
    return true;
}

/* Replaces *text by a copy of value. */
static bool set_text(
    struct problem *problem, char **text, size_t *bytes, const char *value, size_t length)
{
    char *copy = malloc(length + 1);
    if (copy == NULL)
        return no_memory(problem);
    memcpy(copy, value, length);
    copy[length] = '\0';
    free(*text);
    *text = copy;
    *bytes = length;
    return true;
}

static bool read_text(const struct reading *reading, char **text, size_t *bytes)
{
    const json_t *value = reading->value;
    if (!json_is_string(value))
        return refuse(reading->problem, reading->field->name, "a string",
                      kind_name(value));
    return set_text(reading->problem, text, bytes, json_string_value(value),
                    json_string_length(value));
}

static bool read_prompt(const struct reading *reading)
{
    return read_text(reading, &reading->request->prompt, &reading->request->prompt_bytes);
}

static bool read_negative_prompt(const struct reading *reading)
{
    struct request *request = reading->request;
    return read_text(reading, &request->negative_prompt, &request->negative_prompt_bytes);
}

static bool
check_text(const char *name, const char *text, size_t bytes, struct problem *problem)
{
    size_t characters = 0;
    if (!text_is_utf8(text, bytes, &characters) || memchr(text, '\0', bytes) != NULL)
        return refuse(problem, name, "UTF-8 without NUL", "other bytes");
    if (characters > REQUEST_MAX_CHARACTERS)
        return problem_set(problem, PROBLEM_INVALID, name,
                           "%s: expected at most %d characters, found %zu", name,
                           REQUEST_MAX_CHARACTERS, characters);
    return true;
}

static bool read_solver(const struct reading *reading)
{
    const char *name = json_string_value(reading->value);
    if (name != NULL && solver_from_name(name, &reading->request->sampling.solver))
        return true;

    char expected[EXPECTED_SIZE];
    size_t at = (size_t)snprintf(expected, sizeof(expected), "one of");
    for (size_t i = 0; i < SOLVER_COUNT && at < sizeof(expected); i++)
        at += (size_t)snprintf(expected + at, sizeof(expected) - at, "%s %s",
                               i == 0 ? "" : ",", solver_name((enum solver_kind)i));
    if (name == NULL)
        return refuse(reading->problem, reading->field->name, expected,
                      kind_name(reading->value));
    char found[QUOTE_SIZE];
    quote(found, name);
    return refuse(reading->problem, reading->field->name, expected, found);
}

static const struct field fields[] = {
    {"prompt", read_prompt, NULL, NULL, NULL},
    {"negative_prompt", read_negative_prompt, NULL, NULL, NULL},
    {"seed", read_number, seed_range, get_seed, set_seed},
    {"steps", read_number, steps_range, get_steps, set_steps},
    {"width", read_number, side_range, get_width, set_width},
    {"height", read_number, side_range, get_height, set_height},
    {"guidance", read_number, guidance_range, get_guidance, set_guidance},
    {"solver", read_solver, NULL, NULL, NULL},
    {"n", NULL, NULL, NULL, NULL},
    {"deadline_ms", NULL, NULL, NULL, NULL},
    {"min_steps", NULL, NULL, NULL, NULL},
    {"preview_every", NULL, NULL, NULL, NULL},
};

enum { FIELD_COUNT = sizeof(fields) / sizeof(fields[0]), FIELD_NAME_MAX = 15 };
enum { TYPING_ERRORS_MAX = 2 };

static const struct field *find_field(const char *name)
{
    size_t i = 0;
    while (i < FIELD_COUNT && strcmp(name, fields[i].name) != 0)
        i++;
    return i < FIELD_COUNT ? &fields[i] : NULL;
}

/* The fewest insertions, deletions and replacements of bytes that turn a into b
 * (Levenshtein 1966), b being a field's name; not computed when the lengths alone say
 * that it is too much. */
static size_t edit_distance(const char *a, const char *b)
{
    if (strlen(a) > FIELD_NAME_MAX + TYPING_ERRORS_MAX)
        return TYPING_ERRORS_MAX + 1;
    size_t row[FIELD_NAME_MAX + 1], n = strlen(b);
    assert(n <= FIELD_NAME_MAX);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t replaced = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = size_min(replaced, size_min(row[j], row[j + 1]) + 1);
        }
    }
    return row[n];
}

/* Refuses an unknown field; names the served one that was meant, if a typing error
 * explains the difference. */
static bool unknown_field(const char *name, struct problem *problem)
{
    const struct field *nearest = NULL;
    for (size_t i = 0, least = TYPING_ERRORS_MAX + 1; i < FIELD_COUNT; i++) {
        size_t errors =
            fields[i].read != NULL ? edit_distance(name, fields[i].name) : least;
        if (errors < least) {
            least = errors;
            nearest = &fields[i];
        }
    }
    char quoted[QUOTE_SIZE];
    quote(quoted, name);
    return problem_set(problem, PROBLEM_INVALID, quoted, "there is no field \"%s\"%s%s",
                       quoted, nearest != NULL ? "; the nearest is " : "",
                       nearest != NULL ? nearest->name : "");
}

static bool read_object(struct reading *reading, json_t *object)
{
    for (void *at = json_object_iter(object); at != NULL;
         at = json_object_iter_next(object, at)) {
        const char *name = json_object_iter_key(at);
        reading->field = find_field(name);
        reading->value = json_object_iter_value(at);
        if (reading->field == NULL)
            return unknown_field(name, reading->problem);
        if (reading->field->read == NULL)
            return problem_set(reading->problem, PROBLEM_INVALID, name,
                               "%s is not supported by this version", name);
        if (!reading->field->read(reading))
            return false;
    }
    return true;
}

static bool check_area(const struct request *request,
                       const struct request_limits *limits,
                       struct problem *problem)
{
    size_t width = request->sampling.width, height = request->sampling.height;
    if (size_multiply(width, height) <= limits->max_pixels)
        return true;
    return problem_set(problem, PROBLEM_INVALID, "width",
                       "width: expected at most %zu pixels in all, found %zu x %zu",
                       limits->max_pixels, width, height);
}

static bool check_negative_prompt(const struct request *request,
                                  const struct request_limits *limits,
                                  struct problem *problem)
{
    if (request->negative_prompt_bytes == 0)
        return true;
    const char *when =
        limits->is_distilled ? "on a distilled model" : "when guidance is 1";
    if (!limits->is_distilled && request->sampling.guidance != 1)
        return true;
    return problem_set(problem, PROBLEM_INVALID, "negative_prompt",
                       "negative_prompt has no effect %s", when);
}

bool request_check(const struct request *request,
                   const struct request_limits *limits,
                   struct problem *problem)
{
    assert(limits->patch > 0 && (size_t)request->sampling.solver < SOLVER_COUNT);
    if (!check_text("prompt", request->prompt, request->prompt_bytes, problem) ||
        !check_text("negative_prompt", request->negative_prompt,
                    request->negative_prompt_bytes, problem))
        return false;
    for (const struct field *field = fields; field < fields + FIELD_COUNT; field++) {
        if (field->get != NULL &&
            !check_number(field, limits, field->get(request), problem))
            return false;
    }
    return check_area(request, limits, problem) &&
           check_negative_prompt(request, limits, problem);
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

/* The body as an object, new; NULL with a problem when it is none. */
static json_t *load(const char *body, size_t length, struct problem *problem)
{
    json_error_t error = {.line = 1,
                          .text = "expected a JSON object, found an empty body"};
    json_t *root = NULL;
    const char *nul = length > 0 ? memchr(body, '\0', length) : NULL;
    if (length > 0 && nul == NULL)
        root = json_loadb(body, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json_is_object(root))
        return root;

    if (nul != NULL) { /* jansson 2.14 overlooks it behind a number */
        find_place(body, (size_t)(nul - body), &error);
        (void)snprintf(error.text, sizeof(error.text), "expected JSON, found a NUL byte");
    } else if (root != NULL) {
        find_place(body, strspn(body, " \t\r\n"), &error);
        (void)snprintf(error.text, sizeof(error.text), "expected a JSON object, found %s",
                       kind_name(root));
        json_decref(root);
    }
    if (error.text[0] == '\0') {
        (void)no_memory(problem); /* the only failure that jansson gives no text for */
    } else {
        (void)problem_set(problem, PROBLEM_MALFORMED, NULL, "%s", error.text);
        problem->line = error.line;
        problem->column = error.column > 0 ? error.column : 1; /* 0: after a newline */
    }
    return NULL;
}

bool request_parse(struct request *out,
                   const char *body,
                   size_t length,
                   const struct request_limits *limits,
                   uint32_t random_seed,
                   struct problem *problem)
{
    if (length > REQUEST_MAX_BYTES)
        return problem_set(problem, PROBLEM_TOO_LARGE, NULL,
                           "expected at most %d bytes, found %zu", REQUEST_MAX_BYTES,
                           length);
    json_t *root = load(body, length, problem);
    if (root == NULL)
        return false;

    struct request request = {.sampling = limits->defaults};
    struct reading reading = {.request = &request, .limits = limits, .problem = problem};
    request.sampling.seed = random_seed;
    request.seed_was_given = json_object_get(root, "seed") != NULL;
    bool is_good = set_text(problem, &request.prompt, &request.prompt_bytes, "", 0) &&
                   set_text(problem, &request.negative_prompt,
                            &request.negative_prompt_bytes, "", 0) &&
                   read_object(&reading, root) &&
                   request_check(&request, limits, problem);
    json_decref(root);
    if (is_good)
        *out = request;
    else
        request_finish(&request);
    return is_good;
}

void request_finish(struct request *request)
{
    if (request == NULL)
        return;
    free(request->prompt);
    free(request->negative_prompt);
    *request = (struct request){0};
}
