#include "server/commands.h"
#include "server/model_setup.h"

#include <stdio.h>
#include <string.h>

enum { GROUPED_SIZE = 32 };

/* Weight files up to this size are read for the digest without being asked. */
static const size_t DIGEST_BYTES = (size_t)1 << 30;

/* 3875544576 as "3,875,544,576". */
static const char *grouped(size_t value, char text[GROUPED_SIZE])
{
    char digits[GROUPED_SIZE];
    int n = snprintf(digits, sizeof(digits), "%zu", value);
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

static double mebibytes(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void print_parts(const struct bundle_info *info)
{
    (void)printf("\n%-13s %-26s %15s %12s %12s %s\n", "part", "class", "parameters",
                 "file MiB", "memory MiB", "unused tensors");
    for (size_t i = 0; i < BUNDLE_PART_COUNT; i++) {
        const struct bundle_part_info *part = &info->parts[i];
        char parameters[GROUPED_SIZE];
        (void)printf("%-13s %-26s %15s %12.1f %12.1f %zu\n", part->label,
                     part->class_name, grouped(part->parameters, parameters),
                     mebibytes(part->file_bytes), mebibytes(part->memory_bytes),
                     part->unused_tensors);
    }
}

static void print_limits(const struct bundle_info *info)
{
    const struct scheduler_config *scheduler = &info->scheduler;
    (void)printf("\ndefaults      %u steps, guidance %g, %zux%zu pixels\n", info->steps,
                 info->guidance, info->width, info->height);
    (void)printf(
        "limits        %zu pixels, sides in multiples of %zu, prompts of %zu tokens\n",
        info->max_pixels, info->patch, info->text_tokens);
    (void)printf("shapes        latent %zu channels a token, context %zu wide\n",
                 info->latent_channels, info->text_width);
    if (scheduler->is_diffusion)
        (void)printf("schedule      a diffusion model's, served as a flow\n");
    else if (scheduler->dynamic_shift)
        (void)printf("schedule      dynamic shift, %s\n",
                     scheduler->type == TIME_SHIFT_LINEAR ? "linear" : "exponential");
    else
        (void)printf("schedule      shift %g\n", scheduler->shift);
}

static enum err_code print_plan(const struct model_setup *setup, struct err *err)
{
    const struct memory_plan *plan = &setup->plan;
    (void)printf(
        "\nmemory plan   %.0f MiB: weights %.0f, %zu workers x (scratch %.0f + image "
        "%.1f), cached prompts %.0f\n",
        mebibytes(plan->total), mebibytes(plan->weights), plan->workers,
        mebibytes(plan->scratch), mebibytes(plan->images), mebibytes(plan->contexts));
    enum err_code code = memory_plan_check(plan, setup->memory_limit, err);
    if (code == ERR_OK)
        (void)printf("              fits into this machine's %.0f MiB\n",
                     mebibytes((size_t)setup->memory_limit));
    else
        (void)printf("              does not fit\n");
    return code;
}

/* Last, since all the weights are read for it. */
static enum err_code
print_digest(struct model_setup *setup, const struct options *options, struct err *err)
{
    const struct bundle_info *info = bundle_info(setup->bundle);
    size_t bytes = 0;
    for (size_t i = 0; i < BUNDLE_PART_COUNT; i++)
        bytes += info->parts[i].file_bytes;
    (void)fflush(stdout);
    if (bytes > DIGEST_BYTES && !options->digest) {
        (void)printf(
            "\ndigest        not computed: --digest reads the %.0f MiB of weights\n",
            mebibytes(bytes));
        return ERR_OK;
    }
    enum err_code code = model_setup_load(setup, err);
    if (code == ERR_OK)
        (void)printf("\ndigest        %s\n", info->digest);
    return code;
}

int inspect_run(const struct options *options)
{
    struct model_setup setup;
    struct err err;
    enum err_code code =
        model_setup_open(&setup, options, (size_t)options->workers, &err);
    if (code == ERR_OK) {
        const struct bundle_info *info = bundle_info(setup.bundle);
        (void)printf("%s: %s%s\n", info->name, info->family,
                     info->is_distilled ? ", distilled" : "");
        print_parts(info);
        print_limits(info);
        code = print_plan(&setup, &err);
        if (code == ERR_OK)
            code = print_digest(&setup, options, &err);
    }
    if (code != ERR_OK) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "sluice: %s\n", err.message);
    }
    model_setup_finish(&setup);
    return code == ERR_OK ? 0 : 1;
}
