#include "api/request_json.h"

#include "api/json_text.h"
#include "api/request_field.h"

#include <jansson.h>

static bool read_object(struct request *request,
                        json_t *object,
                        const struct request_limits *limits,
                        struct problem *problem)
{
    for (void *at = json_object_iter(object); at != NULL;
         at = json_object_iter_next(object, at)) {
        const char *name = json_object_iter_key(at);
        const struct request_field *field = request_field_find(name);
        if (field == NULL)
            return request_field_unknown(name, problem);
        struct request_value value = json_text_value(name, json_object_iter_value(at));
        if (!request_field_set(field, &value, request, limits, problem))
            return false;
    }
    return true;
}

bool request_parse(struct request *out,
                   const char *body,
                   size_t length,
                   const struct request_limits *limits,
                   uint32_t random_seed,
                   struct problem *problem)
{
    json_t *root = json_text_load(body, length, problem);
    if (root == NULL)
        return false;

    struct request request;
    bool is_good = request_init(&request, limits, problem);
    if (!is_good) {
        json_decref(root);
        return false;
    }
    is_good = read_object(&request, root, limits, problem);
    if (is_good)
        request_draw_seed(&request, random_seed);
    is_good = is_good && request_check(&request, limits, problem);
    json_decref(root);
    if (is_good)
        *out = request;
    else
        request_finish(&request);
    return is_good;
}
