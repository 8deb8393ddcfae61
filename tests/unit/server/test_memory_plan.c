#include "server/memory_plan.h"
#include "tests/check.h"

#include <string.h>

static struct bundle *open_house(void)
{
    struct bundle *bundle;
    struct err err;
    const struct kernels *kernels = NULL;
    CHECK_OK(kernels_choose(&kernels, NULL, &err), err);
    CHECK_OK(bundle_open(&bundle, SLUICE_SOURCE_DIR "/model/house", kernels, &err), err);
    return bundle;
}

/* The house model: 128x128 by default, at most 65,536 pixels, 16 a token's side: 64 and
 * 256 tokens. */
static void test_limits(const struct bundle *house)
{
    struct memory_plan plan = memory_plan_make(house, 2, 8, 0, 0);
    CHECK(plan.limits.max_pixels == 65536 && plan.limits.round_items == 16);
    CHECK(plan.limits.round_tokens == 16 * 64); /* more than 2 * 256 */
    CHECK(plan.images == 65536 * 3 * sizeof(float));

    plan = memory_plan_make(house, 2, 1, 65536, 0);
    CHECK(plan.limits.round_items == 2);
    CHECK(plan.limits.round_tokens == 2 * 256); /* one guided image of the largest size */

    plan = memory_plan_make(house, 2, 8, 64 * 64, 0);
    CHECK(plan.limits.max_pixels == 64 * 64);
    CHECK(plan.limits.round_tokens == 16 * 16); /* no more than all of them have */

    plan = memory_plan_make(house, 2, 8, 1 << 20, 0);
    CHECK(plan.limits.max_pixels == 65536); /* the model's own limit holds */
}

static void test_total(const struct bundle *house)
{
    const struct bundle_info *info = bundle_info(house);
    struct memory_plan one = memory_plan_make(house, 1, 8, 0, 0);
    struct memory_plan three = memory_plan_make(house, 3, 8, 0, 1000);
    size_t weights = 0;
    for (size_t i = 0; i < BUNDLE_PART_COUNT; i++)
        weights += info->parts[i].memory_bytes;
    CHECK(one.weights == weights && weights > 0 && one.scratch > 0);
    CHECK(one.scratch == bundle_scratch(house, &one.limits));
    CHECK(one.total == weights + one.scratch + one.images);
    CHECK(three.workers == 3 && three.scratch == one.scratch);
    CHECK(three.total == weights + 3 * (one.scratch + one.images) + 1000);

    /* Of small images the evaluation needs the most, of large ones the decode. */
    CHECK(memory_plan_make(house, 1, 64, 128 * 128, 0).scratch >
          memory_plan_make(house, 1, 8, 128 * 128, 0).scratch);
    CHECK(memory_plan_make(house, 1, 8, 64 * 64, 0).scratch < one.scratch);
    CHECK(memory_plan_make(house, SIZE_MAX, 8, 0, 0).total == SIZE_MAX);
}

/* A model that follows another: both have their weights, and scratch does not shrink. */
static void test_follow(const struct bundle *house)
{
    struct memory_plan small = memory_plan_make(house, 2, 8, 64 * 64, 1000);
    struct memory_plan large = memory_plan_make(house, 2, 8, 0, 1000);
    CHECK(small.scratch < large.scratch);
    struct memory_plan plan = small;
    memory_plan_follow(&plan, &large);
    CHECK(plan.scratch == large.scratch && plan.beside == large.weights);
    CHECK(plan.total ==
          small.total + 2 * (large.scratch - small.scratch) + large.weights);
    plan = large;
    memory_plan_follow(&plan, &small);
    CHECK(plan.scratch == large.scratch && plan.total == large.total + small.weights);
}

static void test_check(const struct bundle *house)
{
    struct err err;
    struct memory_plan plan = memory_plan_make(house, 2, 8, 0, (size_t)64 << 20);
    uint64_t enough = (uint64_t)plan.total * 100 / 85 + 100;
    CHECK_OK(memory_plan_check(&plan, enough, &err), err);
    CHECK_OK(memory_plan_check(&plan, UINT64_MAX, &err), err);

    CHECK(memory_plan_check(&plan, enough - 300, &err) == ERR_NO_MEMORY);
    static const char *const options[] = {"--workers", "--max-pixels", "--max-batch",
                                          "--context-cache", "--memory-limit"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        CHECK(strstr(err.message, options[i]) != NULL);

    CHECK(memory_plan_check(&plan, plan.weights, &err) == ERR_NO_MEMORY);
    CHECK(strstr(err.message, "the weights alone") != NULL);
    CHECK(strstr(err.message, "--workers") == NULL);
    CHECK(memory_plan_check(&plan, 0, NULL) == ERR_NO_MEMORY);
}

int main(void)
{
    struct bundle *house = open_house();
    test_limits(house);
    test_total(house);
    test_follow(house);
    test_check(house);
    bundle_destroy(house);
    return 0;
}
