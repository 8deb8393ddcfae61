#include "sampler/guidance.h"
#include "tests/check.h"

#include <string.h>

static void test_one_is_off(void)
{
    CHECK(!guidance_is_on(1.0));
    CHECK(guidance_is_on(1.0000001));
    CHECK(guidance_is_on(4.0));
    CHECK(!guidance_is_on(0.0));
}

/* Values that float32 holds exactly, so the formula's answer is one number. */
static void test_formula(void)
{
    float prompt[] = {1.0f, -2.0f, 0.5f};
    const float negative[] = {0.0f, -1.0f, 0.5f};
    const float expected[] = {4.0f, -5.0f, 0.5f};
    guidance_combine(4.0, prompt, negative, 3);
    CHECK(memcmp(prompt, expected, sizeof(expected)) == 0);
}

static void test_only_n_values_change(void)
{
    float prompt[] = {1.0f, 7.0f};
    const float negative[] = {3.0f, 9.0f};
    const float expected[] = {-1.0f, 7.0f};
    guidance_combine(2.0, prompt, negative, 1);
    CHECK(memcmp(prompt, expected, sizeof(expected)) == 0);
}

int main(void)
{
    test_one_is_off();
    test_formula();
    test_only_n_values_change();
    return 0;
}
