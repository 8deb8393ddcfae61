#include "model/component.h"

enum err_code
component_load(struct component *component, struct digest *digest, struct err *err)
{
    enum err_code code = weights_start_loading(component->weights, digest, err);
    if (code != ERR_OK)
        return code;
    component->bind(component->self);
    weights_close_files(component->weights);
    return weights_check(component->weights, err);
}

void component_destroy(struct component *component)
{
    if (component->self != NULL)
        component->destroy(component->self);
    *component = (struct component){0};
}
