#include "model/bundle_defaults.h"

#include "base/size.h"
#include "model/config.h"

#include <stdio.h>
#include <string.h>

enum { MAX_STEPS = 1000, MAX_SIDE = 1 << 14, DEFAULT_SIDE = 1024 };

static const char FILE_NAME[] = "sluice.json";

/* The folder's own name, without a slash at its end; one that is too long loses whole
 * characters. */
static void name_of_folder(const char *folder, char name[BUNDLE_NAME_SIZE])
{
    size_t end = strlen(folder);
    while (end > 1 && folder[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && folder[start - 1] != '/')
        start--;
    size_t length = size_min(end - start, BUNDLE_NAME_SIZE - 1);
    while (length > 0 && length < end - start && (folder[start + length] & 0xC0) == 0x80)
        length--;
    (void)snprintf(name, BUNDLE_NAME_SIZE, "%.*s", (int)length, folder + start);
}

/* A name that is misspelt would leave its default in force, unnoticed. */
static const char *const NAMES[] = {"name",   "steps",      "guidance", "width",
                                    "height", "max_pixels", "text_taps"};

static void read_name(char out[BUNDLE_NAME_SIZE], struct config *config)
{
    const char *name = config_text_or(config, "name", NULL);
    if (name == NULL)
        return;
    size_t length = strlen(name);
    if (length < 1 || length >= BUNDLE_NAME_SIZE)
        config_refuse(config, "name: %zu bytes, expected 1 to %d", length,
                      BUNDLE_NAME_SIZE - 1);
    else
        memcpy(out, name, length + 1);
}

static void
read_values(struct bundle_info *info, struct qwen3_taps *taps, struct config *config)
{
    config_expect_keys(config, NAMES, sizeof(NAMES) / sizeof(NAMES[0]));
    read_name(info->name, config);
    info->steps = (unsigned)config_size_or(config, "steps", 1, MAX_STEPS, info->steps);
    info->guidance = config_number_or(config, "guidance", 1.0, 20.0, info->guidance);
    info->width = config_size_or(config, "width", 1, MAX_SIDE, info->width);
    info->height = config_size_or(config, "height", 1, MAX_SIDE, info->height);
    info->max_pixels = config_size_or(config, "max_pixels", 1,
                                      (size_t)MAX_SIDE * MAX_SIDE, info->max_pixels);
    taps->n = config_sizes(config, "text_taps", 1, 1 << 10, taps->layers, QWEN3_MAX_TAPS);
    if (info->is_distilled && info->guidance > 1.0)
        config_refuse(config, "guidance: a distilled model has only 1");
}

enum err_code bundle_defaults_read(struct bundle_info *info,
                                   struct qwen3_taps *taps,
                                   const char *folder,
                                   struct err *err)
{
    name_of_folder(folder, info->name);
    info->steps = info->is_distilled ? 4 : 50;
    info->guidance = info->is_distilled ? 1.0 : 4.0;
    info->width = info->height = DEFAULT_SIDE;
    info->max_pixels = (size_t)DEFAULT_SIDE * DEFAULT_SIDE;
    taps->n = 0;

    struct config config;
    struct err missing;
    enum err_code code = config_open(&config, folder, FILE_NAME, &missing);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code != ERR_OK)
        return err_set(err, code, "%s", missing.message);
    read_values(info, taps, &config);
    code = config_check(&config, err);
    config_close(&config);
    return code;
}

enum err_code
bundle_defaults_check(const struct bundle_info *info, const char *folder, struct err *err)
{
    if (info->width % info->patch != 0 || info->height % info->patch != 0)
        return err_set(
            err, ERR_FORMAT,
            "%s/%s: %zux%zu, expected sides that are multiples of the patch %zu", folder,
            FILE_NAME, info->width, info->height, info->patch);
    if (size_multiply(info->width, info->height) > info->max_pixels)
        return err_set(err, ERR_FORMAT, "%s/%s: %zux%zu is more than max_pixels (%zu)",
                       folder, FILE_NAME, info->width, info->height, info->max_pixels);
    return ERR_OK;
}
