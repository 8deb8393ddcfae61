#include "model/requirement.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* An array has no member names: only digits name one of its elements. */
static json_t *element(const json_t *array, const char *name, size_t length)
{
    bool is_index = length > 0 && strspn(name, "0123456789") >= length;
    return is_index ? json_array_get(array, strtoul(name, NULL, 10)) : NULL;
}

json_t *requirement_value(json_t *root, const char *path)
{
    json_t *value = root;
    while (value != NULL && *path != '\0') {
        size_t length = strcspn(path, ".");
        if (json_is_array(value))
            value = element(value, path, length);
        else
            value = json_object_getn(value, path, length);
        path += length + (path[length] == '.');
    }
    return value;
}

static bool is_off(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0.0) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

const char *requirement_kind(const json_t *value)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",  [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return value == NULL ? "absent" : kinds[json_typeof(value)];
}

static bool is_met(const struct requirement *requirement, const json_t *value)
{
    if (requirement->form == IS_OFF)
        return is_off(value);
    if (requirement->form == IS_KIND)
        return strcmp(requirement_kind(value), requirement->text) == 0;
    if (requirement->form == OR_UNSET && (value == NULL || json_is_null(value)))
        return true;
    return json_is_string(value) &&
           strcmp(json_string_value(value), requirement->text) == 0;
}

enum err_code
requirement_check(json_t *root, const struct requirement *list, struct err *err)
{
    for (; list->path != NULL; list++) {
        json_t *value = requirement_value(root, list->path);
        if (!is_met(list, value))
            return err_set(err, ERR_UNSUPPORTED,
                           "%s is %.64s, but only %s is implemented", list->path,
                           json_is_string(value) ? json_string_value(value)
                                                 : requirement_kind(value),
                           list->text != NULL ? list->text : "false");
    }
    return ERR_OK;
}
