#include "model/component.h"

enum err_code component_open(struct component *component,
                             const char *folder,
                             const char *stem,
                             const struct kernels *kernels,
                             struct err *err)
{
    enum err_code code = weights_open(&component->weights, folder, stem, kernels, err);
    if (code == ERR_OK) {
        component->bind(component->self, component->weights);
        code = weights_check(component->weights, err);
    }
    if (code != ERR_OK)
        component_destroy(component);
    return code;
}

enum err_code
component_load(struct component *component, struct digest *digest, struct err *err)
{
    enum err_code code = weights_start_loading(component->weights, digest, err);
    if (code != ERR_OK)
        return code;
    component->bind(component->self, component->weights);
    weights_close_files(component->weights);
    return weights_check(component->weights, err);
}

void component_destroy(struct component *component)
{
    weights_close(component->weights);
    if (component->self != NULL)
        component->destroy(component->self);
    *component = (struct component){0};
}
