#include "model/scheduler_config.h"

#include "model/config.h"

#include <string.h>

static void read_flow(struct scheduler_config *out, struct config *config)
{
    static const char *const unsupported[] = {
        "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
        "use_flow_sigmas",   "invert_sigmas",          "stochastic_sampling"};
    out->shift = config_number_or(config, "shift", 1e-3, 1e3, 1.0);
    out->dynamic_shift = config_flag_or(config, "use_dynamic_shifting", false);
    const char *type = config_text_or(config, "time_shift_type", "exponential");
    out->type = TIME_SHIFT_EXPONENTIAL;
    if (strcmp(type, "linear") == 0)
        out->type = TIME_SHIFT_LINEAR;
    else if (strcmp(type, "exponential") != 0)
        config_refuse(
            config, "time_shift_type is \"%.40s\", expected exponential or linear", type);
    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
        config_expect_false(config, unsupported[i]);
    config_expect_null(config, "shift_terminal");
}

static void read_diffusion(struct scheduler_config *out, struct config *config)
{
    out->is_diffusion = true;
    diffusion_schedule_read(&out->diffusion, config);
}

/* DDPMScheduler has no such value and ends at the image. */
static void read_ddim(struct scheduler_config *out, struct config *config)
{
    if (!config_flag_or(config, "set_alpha_to_one", true))
        config_refuse(config, "set_alpha_to_one: only true is supported: the last step "
                              "leads to the image itself (absent means true)");
    read_diffusion(out, config);
}

static const struct scheduler_class {
    const char *name;
    void (*read)(struct scheduler_config *out, struct config *config);
} classes[] = {
    {"FlowMatchEulerDiscreteScheduler", read_flow},
    {"DDIMScheduler", read_ddim},
    {"DDPMScheduler", read_diffusion},
};

static void read_values(struct scheduler_config *out, struct config *config)
{
    const char *found = config_text_or(config, "_class_name", "missing");
    const size_t count = sizeof(classes) / sizeof(classes[0]);
    size_t i = 0;
    while (i < count && strcmp(found, classes[i].name) != 0)
        i++;
    if (i < count) {
        out->class_name = classes[i].name;
        classes[i].read(out, config);
    } else {
        config_refuse(config, "_class_name is %.80s, expected %s, %s or %s", found,
                      classes[0].name, classes[1].name, classes[2].name);
    }
    if (config_size_or(config, "num_train_timesteps", 1, 1 << 20, 1000) != 1000)
        config_refuse(config, "num_train_timesteps: only 1000 is supported");
}

enum err_code
scheduler_config_read(struct scheduler_config *out, const char *folder, struct err *err)
{
    struct config config;
    *out = (struct scheduler_config){0};
    enum err_code code = config_open(&config, folder, "scheduler_config.json", err);
    if (code != ERR_OK)
        return code;
    read_values(out, &config);
    code = config_check(&config, err);
    config_close(&config);
    return code;
}
