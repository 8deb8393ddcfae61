#include "server/memory_plan.h"

#include "base/size.h"

/* What is left is for the program itself, connections, answers and the page cache. */
enum { USABLE_PERCENT = 85, JOBS_PERCENT = 5 };

static size_t sum_of(const struct memory_plan *plan)
{
    size_t each = size_add(plan->scratch, plan->images);
    size_t sum = size_add(plan->weights, size_multiply(plan->workers, each));
    return size_add(size_add(sum, plan->contexts), plan->beside);
}

struct memory_plan memory_plan_make(const struct bundle *bundle,
                                    size_t workers,
                                    size_t max_batch,
                                    size_t max_pixels,
                                    size_t contexts)
{
    const struct bundle_info *info = bundle_info(bundle);
    size_t patch_area = info->patch * info->patch;
    size_t pixels =
        max_pixels == 0 ? info->max_pixels : size_min(max_pixels, info->max_pixels);
    size_t items = size_multiply(2, max_batch);
    size_t largest = pixels / patch_area;
    size_t usual = info->width * info->height / patch_area;
    size_t tokens = size_max(2 * largest, size_multiply(items, usual));

    struct memory_plan plan = {
        .limits =
            {
                .max_pixels = pixels,
                .round_items = items,
                .round_tokens = size_min(tokens, size_multiply(items, largest)),
            },
        .workers = workers,
        .images = size_multiply(pixels, 3 * sizeof(float)),
        .contexts = contexts,
    };
    for (size_t i = 0; i < BUNDLE_PART_COUNT; i++)
        plan.weights = size_add(plan.weights, info->parts[i].memory_bytes);
    plan.scratch = bundle_scratch(bundle, &plan.limits);
    plan.total = sum_of(&plan);
    return plan;
}

void memory_plan_follow(struct memory_plan *plan, const struct memory_plan *before)
{
    plan->beside = before->weights;
    plan->scratch = size_max(plan->scratch, before->scratch);
    plan->total = sum_of(plan);
}

void memory_plan_stay(struct memory_plan *plan)
{
    plan->beside = 0;
    plan->total = sum_of(plan);
}

size_t memory_plan_for_jobs(const struct memory_plan *plan, uint64_t limit)
{
    uint64_t usable = limit / 100 * USABLE_PERCENT;
    uint64_t spare = usable > plan->total ? usable - plan->total : 0;
    uint64_t bytes = spare / 2 + limit / 100 * JOBS_PERCENT;
    return bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX;
}

static double mebibytes(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

enum err_code
memory_plan_check(const struct memory_plan *plan, uint64_t limit, struct err *err)
{
    uint64_t usable = limit / 100 * USABLE_PERCENT;
    if (plan->total <= usable)
        return ERR_OK;
    const char *advice = plan->weights > usable
                             ? "the weights alone are too large: raise the limit "
                               "(--memory-limit)"
                             : "lower --workers, --max-pixels, --max-batch or "
                               "--context-cache, or raise the limit (--memory-limit)";
    return err_set(
        err, ERR_NO_MEMORY,
        "%.0f MiB are needed: weights %.0f, %zu worker%s with scratch %.0f and "
        "image %.1f each, cached prompts %.0f, the model before it %.0f; of the limit of "
        "%.0f MiB only "
        "%.0f (%d %%) are used; %s",
        mebibytes(plan->total), mebibytes(plan->weights), plan->workers,
        plan->workers == 1 ? "" : "s", mebibytes(plan->scratch), mebibytes(plan->images),
        mebibytes(plan->contexts), mebibytes(plan->beside), mebibytes(limit),
        mebibytes(usable), USABLE_PERCENT, advice);
}
