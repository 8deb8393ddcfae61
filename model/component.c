#include "model/component.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* transformers adds an adapter that lies beside the weights to them when it opens the
 * folder: without it, other pictures come out. */
static enum err_code refuse_adapter(const char *folder, struct err *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/adapter_config.json", folder);
    if (n < 0 || (size_t)n >= sizeof(path) || access(path, F_OK) != 0)
        return ERR_OK;
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: adapters are not supported: merge it into the weights, or remove "
                   "it to do without",
                   path);
}

enum err_code component_open(struct component *component,
                             const char *folder,
                             const char *stem,
                             const struct kernels *kernels,
                             struct err *err)
{
    enum err_code code = refuse_adapter(folder, err);
    if (code == ERR_OK)
        code = weights_open(&component->weights, folder, stem, kernels, err);
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
