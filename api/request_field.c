#include "api/request_field.h"

#include "base/size.h"
#include "base/text.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value of one field on its way into a request. */
struct reading {
    const struct request_field *field;
    const struct request_value *value;
    struct request *request;
    const struct request_limits *limits;
    struct problem *problem;
};

struct request_field {
    const char *name;
    bool (*read)(const struct reading *reading);
    /* Numbers only. */
    struct request_range (*range)(const struct request_limits *limits);
    double (*get)(const struct request *request);
    void (*set)(struct request *request, double value);
    bool may_be_absent; /* which 0 then says, though it is out of range */
};

enum { EXPECTED_SIZE = 128 };

void request_quote(char out[REQUEST_QUOTE_SIZE], const char *text)
{
    size_t n = size_min(strlen(text), REQUEST_QUOTE_SIZE - 1);
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    memcpy(out, text, n);
    out[n] = '\0';
}

bool request_refuse(struct problem *problem,
                    const char *name,
                    const char *expected,
                    const char *found)
{
    return problem_set(problem, PROBLEM_INVALID, name, "%s: expected %s, found %s", name,
                       expected, found);
}

#define NUMBER(name, member, type)                                                       \
    static double get_##name(const struct request *request)                              \
    {                                                                                    \
        return (double)request->member;                                                  \
    }                                                                                    \
    static void set_##name(struct request *request, double value)                        \
    {                                                                                    \
        request->member = (type)value;                                                   \
    }
NUMBER(steps, sampling.steps, unsigned)
NUMBER(width, sampling.width, size_t)
NUMBER(height, sampling.height, size_t)
NUMBER(guidance, sampling.guidance, double)
NUMBER(n, n, unsigned)
NUMBER(deadline, deadline_milliseconds, uint32_t)
NUMBER(min_steps, min_steps, unsigned)
NUMBER(preview_every, preview_every, unsigned)
#undef NUMBER

static double get_seed(const struct request *request)
{
    return (double)request->sampling.seed;
}

static void set_seed(struct request *request, double value)
{
    request->sampling.seed = (uint32_t)value;
    request->seed_was_given = true;
}

static struct request_range seed_range(const struct request_limits *limits)
{
    (void)limits;
    return (struct request_range){.low = 0, .high = UINT32_MAX, .multiple_of = 1};
}

static struct request_range steps_range(const struct request_limits *limits)
{
    return (struct request_range){.low = 1, .high = limits->max_steps, .multiple_of = 1};
}

/* One side, when the other is as short as can be. A PNG has at most 2^31 - 1. */
static struct request_range side_range(const struct request_limits *limits)
{
    size_t longest = size_min(limits->max_pixels / limits->patch, INT32_MAX);
    longest -= longest % limits->patch;
    return (struct request_range){.low = (double)limits->patch,
                                  .high = (double)longest,
                                  .multiple_of = limits->patch};
}

static struct request_range guidance_range(const struct request_limits *limits)
{
    if (limits->is_distilled)
        return (struct request_range){
            .low = 1, .high = 1, .reason = "the model is distilled"};
    return (struct request_range){.low = 1, .high = 20};
}

static struct request_range n_range(const struct request_limits *limits)
{
    (void)limits;
    return (struct request_range){.low = 1, .high = REQUEST_MAX_IMAGES, .multiple_of = 1};
}

static struct request_range deadline_range(const struct request_limits *limits)
{
    (void)limits;
    return (struct request_range){
        .low = 1, .high = REQUEST_MAX_DEADLINE, .multiple_of = 1};
}

static struct request_range preview_range(const struct request_limits *limits)
{
    return (struct request_range){.low = 0, .high = limits->max_steps, .multiple_of = 1};
}

/* "steps: expected an integer from 1 to 100, found <found>". */
static bool refuse_number(const struct request_field *field,
                          const char *name,
                          const struct request_limits *limits,
                          const char *found,
                          struct problem *problem)
{
    struct request_range range = field->range(limits);
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
    return request_refuse(problem, name, expected, found);
}

static bool check_number(const struct request_field *field,
                         const char *name,
                         const struct request_limits *limits,
                         double value,
                         struct problem *problem)
{
    struct request_range range = field->range(limits);
    bool fits = value >= range.low && value <= range.high; /* false for NaN */
    if (fits && (range.multiple_of == 0 || fmod(value, (double)range.multiple_of) == 0))
        return true;
    char found[TEXT_NUMBER_SIZE];
    text_from_double(found, value);
    return refuse_number(field, name, limits, found, problem);
}

/* A number as JSON writes it (RFC 8259, section 6), so that every form of a request
 * takes the same; strtod alone would also take "0x10", "inf" and blanks. */
static bool to_number(const char *text, double *out)
{
    static const char digits[] = "0123456789";
    const char *at = text + (*text == '-');
    size_t n = strspn(at, digits);
    if (n == 0 || (n > 1 && *at == '0'))
        return false;
    at += n;
    if (*at == '.') {
        n = strspn(++at, digits);
        if (n == 0)
            return false;
        at += n;
    }
    if (*at == 'e' || *at == 'E') {
        at += at[1] == '+' || at[1] == '-' ? 2 : 1;
        n = strspn(at, digits);
        if (n == 0)
            return false;
        at += n;
    }
    *out = strtod(text, NULL);
    return *at == '\0';
}

/* What a refusal says was found where another type is expected. */
static void describe(char out[REQUEST_QUOTE_SIZE], const struct request_value *value)
{
    bool has_text = value->kind == REQUEST_VALUE_PLAIN;
    const char *text = has_text ? value->text : value->word;
    request_quote(out, *text != '\0' ? text : "nothing");
}

/* Checked before it is narrowed; a double holds every integer of every range. */
static bool read_number(const struct reading *reading)
{
    const struct request_field *field = reading->field;
    const struct request_value *value = reading->value;
    double number = value->number;
    bool is_number =
        value->kind == REQUEST_VALUE_NUMBER ||
        (value->kind == REQUEST_VALUE_PLAIN && to_number(value->text, &number));
    if (!is_number) {
        char found[REQUEST_QUOTE_SIZE];
        describe(found, value);
        return refuse_number(field, value->name, reading->limits, found,
                             reading->problem);
    }
    if (!check_number(field, value->name, reading->limits, number, reading->problem))
        return false;
    field->set(reading->request, number);
    return true;
}

static bool
check_text(const char *name, const char *text, size_t bytes, struct problem *problem)
{
    size_t characters = 0;
    if (!text_is_utf8(text, bytes, &characters) || memchr(text, '\0', bytes) != NULL)
        return request_refuse(problem, name, "UTF-8 without NUL", "other bytes");
    if (characters > REQUEST_MAX_CHARACTERS)
        return problem_set(problem, PROBLEM_INVALID, name,
                           "%s: expected at most %d characters, found %zu", name,
                           REQUEST_MAX_CHARACTERS, characters);
    return true;
}

static bool has_text(const struct request_value *value)
{
    return value->kind == REQUEST_VALUE_TEXT || value->kind == REQUEST_VALUE_PLAIN;
}

static bool read_text(const struct reading *reading, char **text, size_t *bytes)
{
    const struct request_value *value = reading->value;
    if (!has_text(value))
        return request_refuse(reading->problem, value->name, "a string", value->word);
    if (!check_text(value->name, value->text, value->length, reading->problem))
        return false;
    char *copy = malloc(value->length + 1);
    if (copy == NULL)
        return problem_set(reading->problem, PROBLEM_INTERNAL, NULL, "out of memory");
    memcpy(copy, value->text, value->length);
    copy[value->length] = '\0';
    free(*text);
    *text = copy;
    *bytes = value->length;
    return true;
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

static bool read_solver(const struct reading *reading)
{
    const struct request_value *value = reading->value;
    bool is_text = has_text(value);
    if (is_text && solver_from_name(value->text, &reading->request->sampling.solver))
        return true;

    char expected[EXPECTED_SIZE], found[REQUEST_QUOTE_SIZE];
    size_t at = (size_t)snprintf(expected, sizeof(expected), "one of");
    for (size_t i = 0; i < SOLVER_COUNT && at < sizeof(expected); i++)
        at += (size_t)snprintf(expected + at, sizeof(expected) - at, "%s %s",
                               i == 0 ? "" : ",", solver_name((enum solver_kind)i));
    request_quote(found, is_text ? value->text : value->word);
    return request_refuse(reading->problem, value->name, expected, found);
}

static const struct request_field fields[] = {
    {"prompt", read_prompt, NULL, NULL, NULL, false},
    {"negative_prompt", read_negative_prompt, NULL, NULL, NULL, false},
    {"seed", read_number, seed_range, get_seed, set_seed, false},
    {"steps", read_number, steps_range, get_steps, set_steps, false},
    {"width", read_number, side_range, get_width, set_width, false},
    {"height", read_number, side_range, get_height, set_height, false},
    {"guidance", read_number, guidance_range, get_guidance, set_guidance, false},
    {"solver", read_solver, NULL, NULL, NULL, false},
    {"n", read_number, n_range, get_n, set_n, false},
    {"deadline_ms", read_number, deadline_range, get_deadline, set_deadline, true},
    {"min_steps", read_number, steps_range, get_min_steps, set_min_steps, true},
    {"preview_every", read_number, preview_range, get_preview_every, set_preview_every,
     false},
};

_Static_assert(sizeof(fields) / sizeof(fields[0]) == REQUEST_FIELD_COUNT,
               "every field has its row");

enum { FIELD_NAME_MAX = 15, TYPING_ERRORS_MAX = 2 };

const struct request_field *request_field_find(const char *name)
{
    size_t i = 0;
    while (i < REQUEST_FIELD_COUNT && strcmp(name, fields[i].name) != 0)
        i++;
    return i < REQUEST_FIELD_COUNT ? &fields[i] : NULL;
}

size_t request_field_index(const struct request_field *field)
{
    return (size_t)(field - fields);
}

struct request_range request_field_range(const struct request_field *field,
                                         const struct request_limits *limits)
{
    return field->range(limits);
}

bool request_field_set(const struct request_field *field,
                       const struct request_value *value,
                       struct request *request,
                       const struct request_limits *limits,
                       struct problem *problem)
{
    struct reading reading = {field, value, request, limits, problem};
    return field->read(&reading);
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

bool request_field_unknown(const char *name, struct problem *problem)
{
    const struct request_field *nearest = NULL;
    for (size_t i = 0, least = TYPING_ERRORS_MAX + 1; i < REQUEST_FIELD_COUNT; i++) {
        size_t errors = edit_distance(name, fields[i].name);
        if (errors < least) {
            least = errors;
            nearest = &fields[i];
        }
    }
    char quoted[REQUEST_QUOTE_SIZE];
    request_quote(quoted, name);
    (void)problem_set(problem, PROBLEM_INVALID, quoted, "there is no field \"%s\"%s%s",
                      quoted, nearest != NULL ? "; the nearest is " : "",
                      nearest != NULL ? nearest->name : "");
    problem->is_stranger = true;
    return false;
}

bool request_field_check_all(const struct request *request,
                             const struct request_limits *limits,
                             struct problem *problem)
{
    if (!check_text("prompt", request->prompt, request->prompt_bytes, problem) ||
        !check_text("negative_prompt", request->negative_prompt,
                    request->negative_prompt_bytes, problem))
        return false;
    for (const struct request_field *field = fields; field < fields + REQUEST_FIELD_COUNT;
         field++) {
        if (field->get == NULL)
            continue;
        double value = field->get(request);
        bool is_absent = field->may_be_absent && value == 0;
        if (!is_absent && !check_number(field, field->name, limits, value, problem))
            return false;
    }
    return true;
}
