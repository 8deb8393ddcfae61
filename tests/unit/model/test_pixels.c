/* Values to bytes: every code, both ends, halves to even, nothing undefined. */
#include "model/pixels.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <math.h>
#include <string.h>

static uint8_t byte_of(float value)
{
    uint8_t bytes[3] = {7, 7, 7};
    pixels_to_bytes(&value, 1, bytes + 1);
    CHECK(bytes[0] == 7 && bytes[2] == 7);
    return bytes[1];
}

static void test_every_code(void)
{
    for (int code = 0; code < 256; code++) {
        const float value = (float)code / 255.0f * 2.0f - 1.0f;
        CHECK(byte_of(value) == code);
        CHECK(byte_of(value + 0.9f / 255.0f) == code); /* less than half a code away */
        CHECK(byte_of(value - 0.9f / 255.0f) == code);
    }
}

static void test_ends(void)
{
    CHECK(byte_of(-1.0f) == 0 && byte_of(1.0f) == 255);
    CHECK(byte_of(-1.5f) == 0 && byte_of(1.5f) == 255);
    CHECK(byte_of(-1e30f) == 0 && byte_of(1e30f) == 255);
    CHECK(byte_of(-INFINITY) == 0 && byte_of(INFINITY) == 255);
    CHECK(byte_of(NAN) == 0);
}

/* Values that are scaled to a code and a half exactly: found near where they must be. */
static void test_half_to_even(void)
{
    int found = 0;
    for (int code = 0; code < 255; code++) {
        const float half = (float)code + 0.5f;
        float value = half / 255.0f * 2.0f - 1.0f - 1e-6f;
        for (int i = 0; i < 100; i++, value = nextafterf(value, 2.0f)) {
            const float scaled = (value / 2.0f + 0.5f) * 255.0f;
            if (memcmp(&scaled, &half, sizeof(half)) != 0)
                continue;
            CHECK(byte_of(value) == (code % 2 == 0 ? code : code + 1));
            found++;
        }
    }
    CHECK(found > 100);
    CHECK(byte_of(0.0f) == 128 && byte_of(-0.0f) == 128);
    CHECK(byte_of(-1e-6f) == 127);
}

static void test_many(void)
{
    enum { N = 10007 };
    struct draw draw = {1};
    float *values = draw_floats(&draw, N);
    uint8_t *bytes = calloc(N, 1);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < N; i++)
        values[i] *= 1.2f;
    pixels_to_bytes(values, N, bytes);
    for (size_t i = 0; i < N; i++) {
        const double exact = fmin(fmax((double)values[i] / 2.0 + 0.5, 0.0), 1.0) * 255.0;
        CHECK(fabs((double)bytes[i] - exact) <= 0.5 + 1e-4);
    }
    free(values);
    free(bytes);
}

int main(void)
{
    test_every_code();
    test_ends();
    test_half_to_even();
    test_many();
    return 0;
}
