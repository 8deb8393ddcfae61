#include "model/flux2_config.h"

#include "model/config.h"

enum { MAX_BLOCKS = 256 };

static void read_sizes(struct flux2_config *m, struct config *config)
{
    struct flux2_sizes *sizes = &m->sizes;
    m->channels = config_size(config, "in_channels", 4, 1 << 12);
    m->n_double = config_size(config, "num_layers", 0, MAX_BLOCKS);
    m->n_single = config_size(config, "num_single_layers", 0, MAX_BLOCKS);
    sizes->heads = config_size(config, "num_attention_heads", 1, 1 << 10);
    sizes->head_size = config_size(config, "attention_head_dim", 2, 1 << 10);
    sizes->width = sizes->heads * sizes->head_size;
    sizes->mlp = (size_t)((double)sizes->width *
                          config_number_or(config, "mlp_ratio", 0.25, 16.0, 3.0));
    sizes->epsilon = (float)config_number_or(config, "eps", 1e-12, 1.0, 1e-6);
    m->context_width = config_size(config, "joint_attention_dim", 1, 1 << 20);
    m->time_channels =
        config_size_or(config, "timestep_guidance_channels", 2, 1 << 14, 256);
    m->theta = config_number_or(config, "rope_theta", 1.0, 1e12, 2000.0);
}

static void read_config(struct flux2_config *m, struct config *config)
{
    config_expect_text(config, "_class_name", "Flux2Transformer2DModel");
    read_sizes(m, config);
    if (config_flag_or(config, "guidance_embeds", true))
        config_refuse(config, "guidance_embeds: only false (klein) is supported");
    (void)config_size_or(config, "patch_size", 1, 1, 1);
    (void)config_size_or(config, "out_channels", m->channels, m->channels, m->channels);
    if (m->channels % 4 != 0)
        config_refuse(config, "in_channels: %zu is not a multiple of 4 (2x2 patches)",
                      m->channels);
    if (m->time_channels % 2 != 0)
        config_refuse(config, "timestep_guidance_channels: %zu is odd", m->time_channels);

    size_t sum = 0,
           n = config_sizes(config, "axes_dims_rope", 2, 1 << 10, m->axes, FLUX2_AXES);
    for (size_t i = 0; i < FLUX2_AXES; i++) {
        sum += m->axes[i];
        if (m->axes[i] % 2 != 0)
            config_refuse(config, "axes_dims_rope[%zu]: %zu is odd", i, m->axes[i]);
    }
    if (n != FLUX2_AXES || sum != m->sizes.head_size)
        config_refuse(config,
                      "axes_dims_rope: expected %d sizes whose sum is "
                      "attention_head_dim (%zu), found %zu with sum %zu",
                      FLUX2_AXES, m->sizes.head_size, n, sum);
}

enum err_code
flux2_config_read(struct flux2_config *out, const char *folder, struct err *err)
{
    struct config config;
    enum err_code code = config_open(&config, folder, "config.json", err);
    if (code != ERR_OK)
        return code;
    read_config(out, &config);
    code = config_check(&config, err);
    config_close(&config);
    return code;
}
