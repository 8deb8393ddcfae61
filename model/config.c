#include "model/config.h"

#include "base/text.h"

#include <jansson.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum err_code
config_open(struct config *config, const char *folder, const char *file, struct err *err)
{
    *config = (struct config){0};
    int n = snprintf(config->path, sizeof(config->path), "%s/%s", folder, file);
    if (n < 0 || (size_t)n >= sizeof(config->path))
        return err_set(err, ERR_INVALID, "%.200s...: the path is too long", folder);

    char *text;
    size_t length;
    enum err_code code =
        text_read_file(&text, &length, config->path, CONFIG_MAX_BYTES, err);
    if (code != ERR_OK)
        return code;

    json_error_t parse;
    config->json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &parse);
    free(text);
    if (config->json == NULL)
        return err_set(err, ERR_FORMAT, "%s:%d:%d: %s", config->path, parse.line,
                       parse.column, parse.text);
    if (!json_is_object((json_t *)config->json)) {
        config_close(config);
        return err_set(err, ERR_FORMAT, "%s: expected a JSON object", config->path);
    }
    return ERR_OK;
}

void config_close(struct config *config)
{
    json_decref(config->json);
    config->json = NULL;
}

enum err_code config_check(const struct config *config, struct err *err)
{
    if (config->err.code == ERR_OK)
        return ERR_OK;
    return err_set(err, config->err.code, "%s: %s", config->path, config->err.message);
}

void config_refuse(struct config *config, const char *format, ...)
{
    if (config->err.code != ERR_OK)
        return;
    va_list ap;
    va_start(ap, format);
    config->err.code = ERR_FORMAT;
    (void)vsnprintf(config->err.message, sizeof(config->err.message), format, ap);
    va_end(ap);
}

/* NULL when the key is absent, null, or a failure came before. */
static const json_t *value_of(const struct config *config, const char *key)
{
    if (config->err.code != ERR_OK)
        return NULL;
    const json_t *value = json_object_get(config->json, key);
    return json_is_null(value) ? NULL : value;
}

bool config_has(const struct config *config, const char *key)
{
    return value_of(config, key) != NULL;
}

static bool is_among(const char *key, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(key, keys[i]) == 0)
            return true;
    }
    return false;
}

void config_expect_keys(struct config *config, const char *const *keys, size_t n)
{
    const char *key;
    json_t *value;
    json_object_foreach(config->json, key, value)
    {
        if (!is_among(key, keys, n))
            config_refuse(config, "%.60s is not known here", key);
    }
}

static bool is_size(const json_t *value, size_t low, size_t high)
{
    return json_is_integer(value) && json_integer_value(value) >= 0 &&
           (size_t)json_integer_value(value) >= low &&
           (size_t)json_integer_value(value) <= high;
}

size_t config_size(struct config *config, const char *key, size_t low, size_t high)
{
    if (!config_has(config, key))
        config_refuse(config, "%s is missing", key);
    return config_size_or(config, key, low, high, low);
}

size_t config_size_or(
    struct config *config, const char *key, size_t low, size_t high, size_t fallback)
{
    const json_t *value = value_of(config, key);
    if (value == NULL)
        return fallback;
    if (!is_size(value, low, high)) {
        config_refuse(config, "%s: expected an integer from %zu to %zu", key, low, high);
        return fallback;
    }
    return (size_t)json_integer_value(value);
}

double config_number_or(
    struct config *config, const char *key, double low, double high, double fallback)
{
    const json_t *value = value_of(config, key);
    if (value == NULL)
        return fallback;
    double number = json_is_number(value) ? json_number_value(value) : (double)NAN;
    if (!(number >= low && number <= high)) {
        config_refuse(config, "%s: expected a number from %g to %g", key, low, high);
        return fallback;
    }
    return number;
}

bool config_flag_or(struct config *config, const char *key, bool fallback)
{
    const json_t *value = value_of(config, key);
    if (value == NULL)
        return fallback;
    if (!json_is_boolean(value))
        config_refuse(config, "%s: expected true or false", key);
    return json_is_true(value);
}

const char *config_text_or(struct config *config, const char *key, const char *fallback)
{
    const json_t *value = value_of(config, key);
    if (value == NULL)
        return fallback;
    if (!json_is_string(value))
        config_refuse(config, "%s: expected a string", key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

void config_expect_false(struct config *config, const char *key)
{
    if (config_flag_or(config, key, false))
        config_refuse(config, "%s: only false is supported", key);
}

void config_expect_null(struct config *config, const char *key)
{
    if (config_has(config, key))
        config_refuse(config, "%s: only null is supported", key);
}

void config_expect_text(struct config *config, const char *key, const char *expected)
{
    const char *found = config_text_or(config, key, NULL);
    if (found == NULL)
        config_refuse(config, "%s is missing, expected \"%s\"", key, expected);
    else if (strcmp(found, expected) != 0)
        config_refuse(config, "%s is \"%.80s\", expected \"%s\"", key, found, expected);
}

void config_expect_texts(struct config *config,
                         const char *key,
                         const char *expected,
                         size_t n)
{
    const json_t *list = value_of(config, key);
    if (list == NULL)
        return;
    if (!json_is_array(list) || json_array_size(list) != n)
        config_refuse(config, "%s: expected a list of %zu strings", key, n);
    for (size_t i = 0; i < n; i++) {
        const char *found = json_string_value(json_array_get(list, i));
        if (found == NULL || strcmp(found, expected) != 0)
            config_refuse(config, "%s[%zu] is \"%.80s\", expected \"%s\"", key, i,
                          found != NULL ? found : "no string", expected);
    }
}

size_t config_sizes(struct config *config,
                    const char *key,
                    size_t low,
                    size_t high,
                    size_t *values,
                    size_t most)
{
    const json_t *list = value_of(config, key);
    if (list == NULL)
        return 0;
    size_t n = json_array_size(list);
    if (n == 0 || n > most) {
        config_refuse(config, "%s: expected a list of 1 to %zu integers", key, most);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(list, i);
        if (!is_size(value, low, high)) {
            config_refuse(config, "%s[%zu]: expected an integer from %zu to %zu", key, i,
                          low, high);
            return 0;
        }
        values[i] = (size_t)json_integer_value(value);
    }
    return n;
}

const char *config_class(struct config *config, const char *key)
{
    const char *name = json_string_value(json_array_get(value_of(config, key), 1));
    if (name == NULL)
        config_refuse(config, "%s: expected [library, class]", key);
    return name;
}

/* NULL when the object or its key is absent or null, or a failure came before. */
static const json_t *
nested_value_of(struct config *config, const char *object, const char *key)
{
    const json_t *outer = value_of(config, object);
    if (outer != NULL && !json_is_object(outer))
        config_refuse(config, "%s: expected an object", object);
    const json_t *value = json_object_get(outer, key);
    return json_is_null(value) ? NULL : value;
}

double config_nested_number_or(struct config *config,
                               const char *object,
                               const char *key,
                               double low,
                               double high,
                               double fallback)
{
    const json_t *value = nested_value_of(config, object, key);
    if (value == NULL)
        return fallback;
    double number = json_is_number(value) ? json_number_value(value) : (double)NAN;
    if (!(number >= low && number <= high)) {
        config_refuse(config, "%s.%s: expected a number from %g to %g", object, key, low,
                      high);
        return fallback;
    }
    return number;
}

const char *config_nested_text_or(struct config *config,
                                  const char *object,
                                  const char *key,
                                  const char *fallback)
{
    const json_t *value = nested_value_of(config, object, key);
    if (value == NULL)
        return fallback;
    if (!json_is_string(value))
        config_refuse(config, "%s.%s: expected a string", object, key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}
