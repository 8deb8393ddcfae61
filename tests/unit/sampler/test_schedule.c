/* The times against diffusers', to the bit (tests/golden/schedule_cases.py). */
#include "sampler/schedule.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 100, CASES = 162 };

static const struct kind {
    const char *name;
    bool dynamic_shift;
    enum time_shift type;
} kinds[] = {
    {"static", false, TIME_SHIFT_EXPONENTIAL},
    {"exponential", true, TIME_SHIFT_EXPONENTIAL},
    {"linear", true, TIME_SHIFT_LINEAR},
};

static const struct kind *kind_named(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    (void)fprintf(stderr, "no kind of shift is called %s\n", name);
    exit(1);
}

static bool check_next_case(FILE *file)
{
    char name[16];
    double shift, mu;
    unsigned steps;
    size_t tokens;
    const int fields =
        fscanf(file, "%15s %lf %u %zu %lf", name, &shift, &steps, &tokens, &mu);
    if (fields == EOF)
        return false;
    CHECK(fields == 5 && steps <= MAX_STEPS);

    const struct kind *kind = kind_named(name);
    const struct scheduler_config config = {
        .shift = shift, .dynamic_shift = kind->dynamic_shift, .type = kind->type};
    float times[MAX_STEPS + 1];
    schedule_times(&config, steps, tokens, times);
    CHECK(fabs(schedule_empirical_mu(tokens, steps) - mu) <= 1e-15);
    for (unsigned i = 0; i <= steps; i++) {
        float expected;
        CHECK(fscanf(file, "%f", &expected) == 1);
        if (memcmp(&times[i], &expected, sizeof(expected)) != 0)
            (void)fprintf(stderr,
                          "%s shift %g, %u steps, %zu tokens: time %u is %.9g, "
                          "diffusers has %.9g\n",
                          name, shift, steps, tokens, i, (double)times[i],
                          (double)expected);
        CHECK(memcmp(&times[i], &expected, sizeof(expected)) == 0);
    }
    return true;
}

static void test_golden_cases(void)
{
    FILE *file = fopen(SLUICE_SOURCE_DIR "/tests/golden/schedule/cases.txt", "r");
    CHECK(file != NULL);
    unsigned cases = 0;
    while (check_next_case(file))
        cases++;
    (void)fclose(file);
    CHECK(cases == CASES);
}

/* What solvers rely on, for more steps than the golden cases have. */
static void test_times_fall_from_one_to_zero(void)
{
    static float times[1001];
    const struct scheduler_config config = {.shift = 3.0, .dynamic_shift = true};
    for (unsigned steps = 1; steps <= 1000; steps += 37) {
        schedule_times(&config, steps, 4096, times);
        CHECK(times[0] >= 1.0f && times[0] <= 1.0f);
        CHECK(times[steps] >= 0.0f && times[steps] <= 0.0f);
        for (unsigned i = 0; i < steps; i++)
            CHECK(times[i] > times[i + 1]);
    }
}

/* Also where the first time's roundings would lead beyond 1 (0.2, 0.4, 2.9985). */
static void test_static_shifts_begin_at_one(void)
{
    static const double shifts[] = {0.001, 0.2, 0.4, 1.0, 2.9985, 3.0, 1000.0};
    static float times[1001];
    for (size_t i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i++) {
        const struct scheduler_config config = {.shift = shifts[i]};
        for (unsigned steps = 1; steps <= 1000; steps += 37) {
            schedule_times(&config, steps, 64, times);
            CHECK(times[0] <= 1.0f && times[0] > 0.999f);
            CHECK(schedule_falls(&config, steps, 64));
        }
    }
}

/* schedule_falls against the times themselves, where they fall and where they do not. */
static void test_falls(void)
{
    static const struct {
        enum time_shift type;
        unsigned steps;
        size_t tokens;
        bool falls;
    } cases[] = {
        {TIME_SHIFT_EXPONENTIAL, 100, 64, true},
        {TIME_SHIFT_EXPONENTIAL, 1000, 50000, true},
        {TIME_SHIFT_EXPONENTIAL, 1000, 60000, false},
        {TIME_SHIFT_EXPONENTIAL, 20, 72361, true},
        {TIME_SHIFT_EXPONENTIAL, 100, 72361, false},
        {TIME_SHIFT_EXPONENTIAL, 1, 522000, false}, /* infinite */
        {TIME_SHIFT_LINEAR, 200, 64, true},
        {TIME_SHIFT_LINEAR, 300, 64, false}, /* below 0 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static float times[1001];
        const struct scheduler_config config = {.dynamic_shift = true,
                                                .type = cases[i].type};
        const unsigned steps = cases[i].steps;
        schedule_times(&config, steps, cases[i].tokens, times);
        bool falls = times[0] <= 1.0f;
        for (unsigned k = 0; k < steps; k++)
            falls = falls && times[k] > times[k + 1];
        CHECK(falls == cases[i].falls);
        CHECK(schedule_falls(&config, steps, cases[i].tokens) == falls);
    }
    const struct scheduler_config plain = {.shift = 3.0};
    CHECK(schedule_falls(&plain, 1000, (size_t)1 << 24));
}

int main(void)
{
    test_golden_cases();
    test_times_fall_from_one_to_zero();
    test_static_shifts_begin_at_one();
    test_falls();
    return 0;
}
