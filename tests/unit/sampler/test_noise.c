/* The noise against torch.randn (tests/golden/noise_cases.py). */
#include "sampler/noise.h"
#include "tests/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_VALUES = 2048, CASES = 55 };

static bool check_next_case(FILE *file)
{
    uint32_t seed;
    size_t n, stride;
    const int fields = fscanf(file, "%" SCNu32 " %zu %zu", &seed, &n, &stride);
    if (fields == EOF)
        return false;
    CHECK(fields == 3 && n <= MAX_VALUES && stride > 0);

    static float values[MAX_VALUES + 1];
    const float untouched = 77.0f;
    values[n] = untouched;
    noise_fill(seed, values, n);
    CHECK(memcmp(&values[n], &untouched, sizeof(untouched)) == 0);
    for (size_t i = 0; i < n; i += stride) {
        float expected;
        CHECK(fscanf(file, "%f", &expected) == 1);
        if (!(fabsf(values[i] - expected) <= 4e-6f))
            (void)fprintf(stderr,
                          "seed %" PRIu32 ", n %zu: value %zu is %.9g, torch "
                          "has %.9g\n",
                          seed, n, i, (double)values[i], (double)expected);
        CHECK(fabsf(values[i] - expected) <= 4e-6f);
    }
    return true;
}

static void test_golden_cases(void)
{
    FILE *file = fopen(SLUICE_SOURCE_DIR "/tests/golden/noise/cases.txt", "r");
    CHECK(file != NULL);
    unsigned cases = 0;
    while (check_next_case(file))
        cases++;
    (void)fclose(file);
    CHECK(cases == CASES);
}

static void test_nothing_is_written_for_no_values(void)
{
    float value = 77.0f;
    const float untouched = value;
    noise_fill(3, &value, 0);
    CHECK(memcmp(&value, &untouched, sizeof(value)) == 0);
}

/* Mean, variance and the fourth moment of a large draw, within five of their standard
 * errors: 1/sqrt(n), sqrt(2/n) and sqrt(96/n). */
static void test_moments(void)
{
    enum { N = 100003 };
    static float values[N];
    noise_fill(2024, values, N);
    double sum = 0.0, square = 0.0, fourth = 0.0;
    for (size_t i = 0; i < N; i++) {
        const double value = (double)values[i];
        sum += value;
        square += value * value;
        fourth += value * value * value * value;
    }
    CHECK(fabs(sum / N) < 5.0 * sqrt(1.0 / N));
    CHECK(fabs(square / N - 1.0) < 5.0 * sqrt(2.0 / N));
    CHECK(fabs(fourth / N - 3.0) < 5.0 * sqrt(96.0 / N));
}

int main(void)
{
    test_golden_cases();
    test_nothing_is_written_for_no_values();
    test_moments();
    return 0;
}
