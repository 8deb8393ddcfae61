/* Which table is chosen, and that a table that computes wrongly is found out. */
#include "model/kernels/kernels.h"
#include "tests/check.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static void test_choice(void)
{
    static const char *const names[] = {"scalar", "openblas", "avx2", "avx512"};
    const struct kernels *chosen = NULL, *fastest = NULL, *table;
    struct err err = {0};
    bool runs = false;
    size_t known = 0;
    for (size_t i = 0; (table = kernels_at(i, &runs)) != NULL; i++) {
        const enum err_code code = kernels_choose(&chosen, table->name, &err);
        CHECK(code == (runs ? ERR_OK : ERR_UNSUPPORTED));
        CHECK(!runs || chosen == table);
        CHECK(runs || strstr(err.message, table->name) != NULL);
        fastest = fastest == NULL && runs ? table : fastest;
        CHECK(table->product != NULL && table->each != NULL);
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
            known += strcmp(names[k], table->name) == 0;
    }
    CHECK(known >= 2);
    CHECK_OK(kernels_choose(&chosen, NULL, &err), err);
    CHECK(chosen == fastest);
    chosen = NULL;
    CHECK_OK(kernels_choose(&chosen, "", &err), err);
    CHECK(chosen == fastest);
    CHECK_OK(kernels_choose(&chosen, "scalar", &err), err);
    chosen = NULL;
    CHECK(kernels_choose(&chosen, "quantum", &err) == ERR_INVALID && chosen == NULL);
    CHECK(strstr(err.message, "quantum: expected scalar, avx2") != NULL);
}

static void test_check_passes(void)
{
    static const size_t sizes[] = {1, 2, 7, 13, 16, 33, 100};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    const struct kernels *table;
    struct err err;
    bool runs;
    for (size_t i = 0; (table = kernels_at(i, &runs)) != NULL; i++) {
        for (size_t k = 0; runs && k < SIZES * SIZES; k++)
            CHECK_OK(kernels_check(table, sizes[k / SIZES], sizes[k % SIZES],
                                   sizes[(k + k / SIZES) % SIZES], &err),
                     err);
        if (runs)
            CHECK_OK(kernels_check(table, 5, 12288, 20, &err), err);
        CHECK(!runs || kernels_check(table, SIZE_MAX / 2, 8, 8, &err) == ERR_NO_MEMORY);
    }
}

/* A product that is wrong at one place. */
static struct {
    size_t row, output;
    float error;
} fault;

static void broken_product(const struct product *product)
{
    product_scalar(product);
    product->out[fault.row * product->out_stride + fault.output] += fault.error;
}

static void expect_caught(size_t row, size_t output, float error)
{
    static const struct kernels broken = {"broken", broken_product, &elementwise_scalar};
    struct err err = {0};
    char place[64];
    fault.row = row;
    fault.output = output;
    fault.error = error;
    CHECK(kernels_check(&broken, 20, 30, 40, &err) == ERR_INTERNAL);
    CHECK(strstr(err.message, "broken") != NULL);
    CHECK(strstr(err.message, "[20, 30] by [40, 30]") != NULL);
    (void)snprintf(place, sizeof(place), "(%zu, %zu)", row, output);
    CHECK(strstr(err.message, place) != NULL);
}

/* All 800 elements are looked at, and no error hides that is far above rounding. */
static void test_check_finds(void)
{
    for (size_t at = 0; at < 20 * 40; at++)
        expect_caught(at / 40, at % 40, 1e-3f);
    expect_caught(0, 0, NAN);
    expect_caught(19, 39, INFINITY);
    expect_caught(3, 5, -3e-5f);
}

int main(void)
{
    kernels_init();
    test_choice();
    test_check_passes();
    test_check_finds();
    return 0;
}
