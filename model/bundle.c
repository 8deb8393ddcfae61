#include "model/bundle.h"

#include "base/size.h"
#include "base/text.h"
#include "model/autoencoder_kl.h"
#include "model/bundle_defaults.h"
#include "model/component.h"
#include "model/config.h"
#include "model/diffusion.h"
#include "model/flux2.h"
#include "model/qwen3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A family is a row: the classes that model_index.json names, and who opens them. */
static const struct family {
    const char *pipeline, *name;
    struct part {
        const char *folder, *class_name;
    } parts[BUNDLE_PART_COUNT];
    enum err_code (*open_text_encoder)(struct component *,
                                       struct text_encoder *,
                                       const char *,
                                       const struct kernels *,
                                       const struct qwen3_taps *,
                                       struct err *);
    enum err_code (*open_transformer)(struct component *,
                                      struct velocity *,
                                      const char *,
                                      const struct kernels *,
                                      struct err *);
    enum err_code (*open_autoencoder)(struct component *,
                                      struct autoencoder *,
                                      const char *,
                                      const struct kernels *,
                                      struct err *);
} families[] = {
    {
        .pipeline = "Flux2KleinPipeline",
        .name = "FLUX.2-klein",
        .parts =
            {
                [BUNDLE_TEXT_ENCODER] = {"text_encoder", "Qwen3ForCausalLM"},
                [BUNDLE_TRANSFORMER] = {"transformer", "Flux2Transformer2DModel"},
                [BUNDLE_AUTOENCODER] = {"vae", "AutoencoderKLFlux2"},
            },
        .open_text_encoder = qwen3_open,
        .open_transformer = flux2_open,
        .open_autoencoder = autoencoder_kl_open,
    },
};

enum { FAMILY_COUNT = sizeof(families) / sizeof(families[0]) };

struct bundle {
    char folder[CONFIG_PATH_SIZE];
    const struct family *family;
    const struct kernels *kernels;
    struct bundle_info info;
    struct tokenizer *tokenizer;
    struct component components[BUNDLE_PART_COUNT];
    struct text_encoder text_encoder;
    struct velocity velocity;
    struct diffusion diffusion; /* behind velocity when the scheduler says so */
    struct autoencoder autoencoder;
};

void bundle_init(void)
{
    kernels_init();
}

static const struct family *find_family(struct config *index)
{
    const char *pipeline = config_text_or(index, "_class_name", "");
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        if (strcmp(families[i].pipeline, pipeline) == 0)
            return &families[i];
    }
    config_refuse(index, "_class_name is \"%.80s\"; this build knows %s", pipeline,
                  families[0].pipeline);
    return NULL;
}

static const char *
part_path(const struct bundle *bundle, const char *name, char path[2 * CONFIG_PATH_SIZE])
{
    (void)snprintf(path, 2 * CONFIG_PATH_SIZE, "%s/%s", bundle->folder, name);
    return path;
}

/* diffusers builds the class that the index names from the values of the file, whatever
 * class that was written by. */
static enum err_code
read_scheduler(struct bundle *bundle, struct config *index, struct err *err)
{
    char path[2 * CONFIG_PATH_SIZE];
    struct scheduler_config *scheduler = &bundle->info.scheduler;
    enum err_code code =
        scheduler_config_read(scheduler, part_path(bundle, "scheduler", path), err);
    if (code != ERR_OK)
        return code;
    const char *found = config_class(index, "scheduler");
    if (found != NULL && strcmp(found, scheduler->class_name) != 0)
        config_refuse(index,
                      "scheduler is a %.80s, expected %s, the _class_name of "
                      "scheduler/scheduler_config.json",
                      found, scheduler->class_name);
    return config_check(index, err);
}

static enum err_code read_index(struct bundle *bundle, struct err *err)
{
    struct config index;
    enum err_code code = config_open(&index, bundle->folder, "model_index.json", err);
    if (code != ERR_OK)
        return code;
    bundle->family = find_family(&index);
    bundle->info.is_distilled = config_flag_or(&index, "is_distilled", false);
    for (size_t i = 0; bundle->family != NULL && i < BUNDLE_PART_COUNT; i++) {
        const struct part *part = &bundle->family->parts[i];
        const char *found = config_class(&index, part->folder);
        if (found != NULL && strcmp(found, part->class_name) != 0)
            config_refuse(&index, "%s is a %.80s, expected %s", part->folder, found,
                          part->class_name);
    }
    code = config_check(&index, err);
    if (code == ERR_OK)
        code = read_scheduler(bundle, &index, err);
    config_close(&index);
    return code;
}

static void serve_as_flow(struct bundle *bundle)
{
    bundle->diffusion =
        (struct diffusion){bundle->velocity, &bundle->info.scheduler.diffusion};
    bundle->velocity = diffusion_velocity(&bundle->diffusion);
}

static enum err_code
open_parts(struct bundle *bundle, const struct qwen3_taps *taps, struct err *err)
{
    char path[2 * CONFIG_PATH_SIZE];
    const struct family *family = bundle->family;
    struct component *components = bundle->components;
    enum err_code code =
        tokenizer_open(&bundle->tokenizer, part_path(bundle, "tokenizer", path), err);
    if (code == ERR_OK)
        code = family->open_text_encoder(
            &components[BUNDLE_TEXT_ENCODER], &bundle->text_encoder,
            part_path(bundle, family->parts[BUNDLE_TEXT_ENCODER].folder, path),
            bundle->kernels, taps, err);
    if (code == ERR_OK)
        code = family->open_transformer(
            &components[BUNDLE_TRANSFORMER], &bundle->velocity,
            part_path(bundle, family->parts[BUNDLE_TRANSFORMER].folder, path),
            bundle->kernels, err);
    if (code == ERR_OK && bundle->info.scheduler.is_diffusion)
        serve_as_flow(bundle);
    if (code == ERR_OK)
        code = family->open_autoencoder(
            &components[BUNDLE_AUTOENCODER], &bundle->autoencoder,
            part_path(bundle, family->parts[BUNDLE_AUTOENCODER].folder, path),
            bundle->kernels, err);
    return code;
}

/* Whether the parts fit each other. */
static enum err_code check_seams(const struct bundle *bundle, struct err *err)
{
    const char *folder = bundle->folder;
    if (bundle->velocity.context_width != bundle->text_encoder.width)
        return err_set(
            err, ERR_FORMAT,
            "%s: transformer/config.json: joint_attention_dim is %zu, expected %zu: "
            "text taps times the text encoder's hidden_size",
            folder, bundle->velocity.context_width, bundle->text_encoder.width);
    if (bundle->velocity.channels != bundle->autoencoder.channels)
        return err_set(
            err, ERR_FORMAT,
            "%s: transformer/config.json: in_channels is %zu, expected %zu: four times "
            "the latent_channels of vae/config.json",
            folder, bundle->velocity.channels, bundle->autoencoder.channels);
    if (tokenizer_vocabulary_size(bundle->tokenizer) > bundle->text_encoder.vocabulary)
        return err_set(
            err, ERR_FORMAT,
            "%s: tokenizer/tokenizer.json has ids up to %zu, text_encoder/config.json a "
            "vocab_size of %zu",
            folder, tokenizer_vocabulary_size(bundle->tokenizer) - 1,
            bundle->text_encoder.vocabulary);
    return ERR_OK;
}

static void fill_info(struct bundle *bundle)
{
    struct bundle_info *info = &bundle->info;
    info->family = bundle->family->name;
    info->kernels = bundle->kernels->name;
    info->arithmetic = kernels_arithmetic(bundle->kernels);
    info->latent_channels = bundle->velocity.channels;
    info->text_tokens = tokenizer_limit(bundle->tokenizer);
    info->text_width = bundle->text_encoder.width;
    for (size_t i = 0; i < BUNDLE_PART_COUNT; i++) {
        struct weights_totals totals = weights_totals(bundle->components[i].weights);
        info->parts[i] = (struct bundle_part_info){
            .label = bundle->family->parts[i].folder,
            .class_name = bundle->family->parts[i].class_name,
            .parameters = totals.parameters,
            .file_bytes = totals.file_bytes,
            .memory_bytes = totals.memory_bytes,
            .unused_tensors = totals.unused_tensors,
        };
    }
}

static enum err_code open_all(struct bundle *bundle, struct err *err)
{
    struct qwen3_taps taps;
    enum err_code code = read_index(bundle, err);
    if (code == ERR_OK)
        code = bundle_defaults_read(&bundle->info, &taps, bundle->folder, err);
    if (code == ERR_OK)
        code = open_parts(bundle, &taps, err);
    if (code == ERR_OK)
        code = check_seams(bundle, err);
    if (code != ERR_OK)
        return code;
    bundle->info.patch = bundle->autoencoder.patch;
    fill_info(bundle);
    return bundle_defaults_check(&bundle->info, bundle->folder, err);
}

enum err_code bundle_open(struct bundle **out,
                          const char *folder,
                          const struct kernels *kernels,
                          struct err *err)
{
    struct bundle *bundle = calloc(1, sizeof(*bundle));
    if (bundle == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", folder);
    bundle->kernels = kernels;
    int n = snprintf(bundle->folder, sizeof(bundle->folder), "%s", folder);
    enum err_code code =
        n < 0 || (size_t)n >= sizeof(bundle->folder)
            ? err_set(err, ERR_INVALID, "%.200s...: the path is too long", folder)
            : open_all(bundle, err);
    if (code != ERR_OK) {
        bundle_destroy(bundle);
        return code;
    }
    *out = bundle;
    return ERR_OK;
}

void bundle_destroy(struct bundle *bundle)
{
    if (bundle == NULL)
        return;
    for (size_t i = 0; i < BUNDLE_PART_COUNT; i++)
        component_destroy(&bundle->components[i]);
    tokenizer_destroy(bundle->tokenizer);
    free(bundle);
}

const struct bundle_info *bundle_info(const struct bundle *bundle)
{
    return &bundle->info;
}

size_t bundle_scratch(const struct bundle *bundle,
                      const struct bundle_load_limits *limits)
{
    const struct bundle_info *info = &bundle->info;
    size_t tokens = limits->max_pixels / (info->patch * info->patch);
    struct velocity_load load = {
        .items = limits->round_items,
        .latent_tokens = tokens,
        .total_tokens = limits->round_tokens,
        .text_tokens = info->text_tokens,
    };
    size_t encode =
        bundle->text_encoder.scratch(bundle->text_encoder.self, info->text_tokens);
    size_t step = bundle->velocity.scratch(bundle->velocity.self, &load);
    size_t decode = bundle->autoencoder.scratch(bundle->autoencoder.self, tokens);
    return size_max(encode, size_max(step, decode));
}

/* Everything but the weights that an image depends on. */
static enum err_code
digest_configs(const struct bundle *bundle, struct digest *digest, struct err *err)
{
    static const struct {
        const char *path;
        bool optional;
    } files[] = {
        {"model_index.json", false},
        {"sluice.json", true},
        {"scheduler/scheduler_config.json", false},
        {"tokenizer/tokenizer.json", false},
        {"tokenizer/tokenizer_config.json", false},
        {"text_encoder/config.json", false},
        {"transformer/config.json", false},
        {"vae/config.json", false},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[2 * CONFIG_PATH_SIZE], *text;
        size_t length;
        enum err_code code =
            text_read_file(&text, &length, part_path(bundle, files[i].path, path),
                           (size_t)64 << 20, err);
        if (code == ERR_NOT_FOUND && files[i].optional)
            continue;
        if (code != ERR_OK)
            return code;
        digest_add(digest, files[i].path, strlen(files[i].path));
        digest_add(digest, text, length);
        free(text);
    }
    return ERR_OK;
}

struct product_check {
    const struct kernels *kernels;
    size_t rows;
    enum err_code code;
    struct err *err;
};

static void check_product(void *context, size_t outputs, size_t inputs)
{
    struct product_check *check = context;
    if (check->code == ERR_OK)
        check->code =
            kernels_check(check->kernels, check->rows, inputs, outputs, check->err);
}

/* With the rows that a prompt and that an image of the default size have; of a large
 * image as many as go over every kernel's tiles. */
static enum err_code check_products(const struct bundle *bundle, struct err *err)
{
    enum { MOST_ROWS = 192 };
    const struct bundle_info *info = &bundle->info;
    size_t image = info->width * info->height / (info->patch * info->patch);
    size_t rows[] = {1, size_min(info->text_tokens, MOST_ROWS),
                     size_min(image, MOST_ROWS)};
    struct product_check check = {.kernels = bundle->kernels, .err = err};
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        check.rows = rows[r];
        for (size_t i = 0; i < BUNDLE_PART_COUNT; i++)
            weights_each_shape(bundle->components[i].weights, check_product, &check);
    }
    return check.code;
}

enum err_code bundle_load(struct bundle *bundle, struct err *err)
{
    struct digest digest;
    digest_init(&digest);
    enum err_code code = digest_configs(bundle, &digest, err);
    for (size_t i = 0; code == ERR_OK && i < BUNDLE_PART_COUNT; i++)
        code = component_load(&bundle->components[i], &digest, err);
    if (code != ERR_OK)
        return code;
    digest_finish(&digest, bundle->info.digest);
    return check_products(bundle, err);
}

const struct tokenizer *bundle_tokenizer(const struct bundle *bundle)
{
    return bundle->tokenizer;
}

const struct text_encoder *bundle_text_encoder(const struct bundle *bundle)
{
    return &bundle->text_encoder;
}

const struct velocity *bundle_velocity(const struct bundle *bundle)
{
    return &bundle->velocity;
}

const struct autoencoder *bundle_autoencoder(const struct bundle *bundle)
{
    return &bundle->autoencoder;
}
