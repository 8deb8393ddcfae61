#include "api/parameters.h"

#include "api/request_field.h"
#include "api/sampler_name.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUE = 128 };

static const char opening[] = "Negative prompt: ";

/* A value of the last line, cut to what is of use here. */
struct entry {
    char key[24], value[MAX_VALUE];
};

struct reading {
    struct parameters out;
    unsigned seen; /* one bit for each row of `keys` */
    const struct request_limits *limits;
    struct problem *problem;
};

static bool set(struct reading *reading,
                const char *field,
                const char *name,
                const char *text,
                size_t length)
{
    struct request_value value = {
        .name = name, .kind = REQUEST_VALUE_PLAIN, .text = text, .length = length};
    return request_field_set(request_field_find(field), &value, &reading->out.request,
                             reading->limits, reading->problem);
}

static bool read_steps(struct reading *reading, const struct entry *entry)
{
    return set(reading, "steps", entry->key, entry->value, strlen(entry->value));
}

static bool read_guidance(struct reading *reading, const struct entry *entry)
{
    return set(reading, "guidance", entry->key, entry->value, strlen(entry->value));
}

static bool read_seed(struct reading *reading, const struct entry *entry)
{
    return set(reading, "seed", entry->key, entry->value, strlen(entry->value));
}

static bool read_sampler(struct reading *reading, const struct entry *entry)
{
    return sampler_from_name(entry->value, &reading->out.request.sampling.solver) ||
           request_refuse(reading->problem, entry->key, "a sampler of this service",
                          entry->value);
}

static bool read_size(struct reading *reading, const struct entry *entry)
{
    char width[MAX_VALUE];
    const char *cross = strchr(entry->value, 'x');
    if (cross == NULL)
        return request_refuse(reading->problem, entry->key, "<width>x<height>",
                              entry->value);
    size_t length = (size_t)(cross - entry->value);
    memcpy(width, entry->value, length);
    width[length] = '\0';
    return set(reading, "width", entry->key, width, length) &&
           set(reading, "height", entry->key, cross + 1, strlen(cross + 1));
}

static bool read_hash(struct reading *reading, const struct entry *entry)
{
    if (strlen(entry->value) != PARAMETERS_HASH_SIZE - 1)
        return request_refuse(reading->problem, entry->key, "10 hex digits",
                              entry->value);
    memcpy(reading->out.model_hash, entry->value, PARAMETERS_HASH_SIZE);
    return true;
}

static bool read_version(struct reading *reading, const struct entry *entry)
{
    (void)snprintf(reading->out.version, sizeof(reading->out.version), "%.39s",
                   entry->value);
    return true;
}

/* All but the last decide about the image, so they must be there. */
static const struct {
    const char *key;
    bool (*read)(struct reading *reading, const struct entry *entry);
} keys[] = {
    {"Steps", read_steps},     {"Sampler", read_sampler}, {"CFG scale", read_guidance},
    {"Seed", read_seed},       {"Size", read_size},       {"Model hash", read_hash},
    {"Version", read_version},
};

enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };

/* Goes behind a value: a JSON string, or anything up to a comma. */
static const char *skip_value(const char *at)
{
    if (*at != '"')
        return at + strcspn(at, ",");
    for (at++; *at != '"' && *at != '\0'; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
    }
    return *at == '"' ? at + 1 : at;
}

/* "Key: value", up to a comma or the end; moves on behind the comma and its blank. */
static bool take_entry(const char **at, struct entry *entry)
{
    const char *colon = strstr(*at, ": ");
    if (colon == NULL)
        return false;
    const char *value = colon + 2, *end = skip_value(value);
    if (*end != ',' && *end != '\0')
        return false;
    (void)snprintf(entry->key, sizeof(entry->key), "%.*s",
                   (int)size_min((size_t)(colon - *at), sizeof(entry->key) - 1), *at);
    (void)snprintf(entry->value, sizeof(entry->value), "%.*s",
                   (int)size_min((size_t)(end - value), MAX_VALUE - 1), value);
    *at = end + strspn(end, ", ");
    return true;
}

static bool read_line(struct reading *reading, const char *line)
{
    struct entry entry;
    for (const char *at = line; *at != '\0';) {
        if (!take_entry(&at, &entry))
            return request_refuse(reading->problem, "parameters",
                                  "\"Key: value\" pairs in the last line", "other text");
        for (unsigned i = 0; i < KEY_COUNT; i++) {
            if (strcmp(entry.key, keys[i].key) != 0)
                continue;
            if (!keys[i].read(reading, &entry))
                return false;
            reading->seen |= 1U << i;
        }
    }
    for (unsigned i = 0; i + 1 < KEY_COUNT; i++) {
        if ((reading->seen & 1U << i) == 0)
            return request_refuse(reading->problem, "parameters", keys[i].key, "none");
    }
    return true;
}

/* Where the negative prompt opens: at the start, or behind the first newline that the
 * opening follows. A prompt may itself hold the opening; without guidance there is no
 * negative prompt, so that all is prompt. NULL when there is none. */
static char *find_negative_prompt(const struct reading *reading, char *head)
{
    if (reading->out.request.sampling.guidance == 1)
        return NULL;
    if (strncmp(head, opening, strlen(opening)) == 0)
        return head;
    for (char *line = strchr(head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if (strncmp(line, opening, strlen(opening)) == 0)
            return line;
    }
    return NULL;
}

/* What stands above the last line. */
static bool read_prompts(struct reading *reading, char *head)
{
    char *negative = find_negative_prompt(reading, head);
    size_t length = strlen(head);
    if (negative != NULL) {
        const char *text = negative + strlen(opening);
        if (!set(reading, "negative_prompt", "Negative prompt", text,
                 length - (size_t)(text - head)))
            return false;
        length = negative > head ? (size_t)(negative - head) - 1 : 0;
        head[length] = '\0';
    }
    return set(reading, "prompt", "prompt", head, length);
}

static bool read_all(struct reading *reading, char *text)
{
    char *newline = strrchr(text, '\n');
    char *line = newline != NULL ? newline + 1 : text;
    if (!read_line(reading, line))
        return false;
    if (newline != NULL)
        *newline = '\0';
    else
        text = line + strlen(line);
    return read_prompts(reading, text) &&
           request_check(&reading->out.request, reading->limits, reading->problem);
}

bool parameters_read(struct parameters *out,
                     const char *text,
                     const struct request_limits *limits,
                     struct problem *problem)
{
    struct reading reading = {.limits = limits, .problem = problem};
    if (!request_init(&reading.out.request, limits, problem))
        return false;
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    bool is_good = copy != NULL;
    if (is_good) {
        memcpy(copy, text, size);
        is_good = read_all(&reading, copy);
    } else {
        (void)problem_set(problem, PROBLEM_INTERNAL, NULL, "out of memory");
    }
    free(copy);
    if (is_good)
        *out = reading.out;
    else
        parameters_finish(&reading.out);
    return is_good;
}

void parameters_finish(struct parameters *parameters)
{
    if (parameters != NULL)
        request_finish(&parameters->request);
}

bool parameters_check_model(const struct parameters *parameters,
                            const char *model_digest,
                            struct problem *problem)
{
    return strncmp(parameters->model_hash, model_digest, PARAMETERS_HASH_SIZE - 1) == 0 ||
           problem_set(problem, PROBLEM_INVALID, "Model hash",
                       "Model hash: the model that is loaded is %.10s, the image was "
                       "made by %s",
                       model_digest, parameters->model_hash);
}
