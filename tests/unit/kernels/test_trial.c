#include "model/kernels/peak.h"
#include "model/kernels/trial.h"
#include "tests/check.h"

#include <math.h>

/* Sizes that are no multiple of a panel or tile: an array that is too small shows under a
 * sanitizer. */
static void test_all_kinds(const struct kernels *kernels)
{
    for (int kind = 0; kind < TRIAL_KIND_COUNT; kind++) {
        static const size_t sizes[][3] = {
            {1, 2, 1}, {13, 6, 10}, {30, 40, 18}, {48, 8, 33}};
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct trial trial = {(enum trial_kind)kind, sizes[i][0], sizes[i][1],
                                  sizes[i][2]};
            struct err err;
            double seconds = 0.0;
            CHECK_OK(trial_measure(&trial, kernels, 1e-4, &seconds, &err), err);
            CHECK(seconds > 0.0 && isfinite(seconds));
        }
    }
}

static void test_peak(const struct kernels *kernels)
{
    double peak = peak_measure(kernels, 2);
    CHECK(peak > 0.0 && isfinite(peak));
}

static void test_operations(void)
{
    struct trial product = {TRIAL_PRODUCT, 2, 3, 5}, norm = {TRIAL_NORM_RMS, 2, 3, 5};
    CHECK(trial_operations(&product) == 60.0 && trial_operations(&norm) == 0.0);
}

int main(void)
{
    bool runs;
    test_operations();
    kernels_init();
    for (size_t i = 0; kernels_at(i, &runs) != NULL; i++) {
        if (!runs)
            continue;
        test_all_kinds(kernels_at(i, &runs));
        test_peak(kernels_at(i, &runs));
    }
    return 0;
}
