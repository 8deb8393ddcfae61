#include "sampler/noise.h"

#include "base/elementary.h"

#include <math.h>

enum { STATE_WORDS = 624, STATE_SHIFT = 397, BLOCK = 16, PAIRS = BLOCK / 2 };

static const double two_pi = 6.283185307179586477;

struct mt19937 {
    uint32_t state[STATE_WORDS];
    unsigned next; /* word to hand out; STATE_WORDS when all are used */
};

/* init_genrand of Matsumoto and Nishimura's mt19937ar.c. */
static struct mt19937 mt19937_seeded(uint32_t seed)
{
    struct mt19937 generator = {.next = STATE_WORDS};
    uint32_t *state = generator.state;
    state[0] = seed;
    for (uint32_t i = 1; i < STATE_WORDS; i++)
        state[i] = 1812433253u * (state[i - 1] ^ (state[i - 1] >> 30)) + i;
    return generator;
}

static void mt19937_twist(struct mt19937 *generator)
{
    uint32_t *state = generator->state;
    for (unsigned i = 0; i < STATE_WORDS; i++) {
        const uint32_t mixed =
            (state[i] & 0x80000000u) | (state[(i + 1) % STATE_WORDS] & 0x7fffffffu);
        state[i] = state[(i + STATE_SHIFT) % STATE_WORDS] ^ (mixed >> 1) ^
                   ((mixed & 1u) != 0 ? 0x9908b0dfu : 0u);
    }
    generator->next = 0;
}

static uint32_t mt19937_draw(struct mt19937 *generator)
{
    if (generator->next == STATE_WORDS)
        mt19937_twist(generator);
    uint32_t y = generator->state[generator->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* uniform_real_distribution<float>: the low 24 bits of one word, in [0, 1). */
static float uniform_float(struct mt19937 *generator)
{
    return (float)(mt19937_draw(generator) & 0xffffffu) * 0x1p-24f;
}

/* uniform_real_distribution<double>: the low 53 bits of two words, high word first. */
static double uniform_double(struct mt19937 *generator)
{
    const uint64_t high = mt19937_draw(generator);
    const uint64_t word = high << 32 | mt19937_draw(generator);
    return (double)(word & 0x1fffffffffffffu) * 0x1p-53;
}

/* NormalFill16<float>: value j pairs with value j + 8. The reference works in float32
 * with its own polynomials; what float32 rounds exactly (the angle, the root, the
 * product) is rounded here too, its logarithm, sine and cosine come from double. */
static void box_muller_block(float *block)
{
    for (unsigned j = 0; j < PAIRS; j++) {
        const float log_u = (float)elementary_log(1.0 - (double)block[j]);
        const float radius = sqrtf(-2.0f * log_u);
        const float angle = (float)two_pi * block[j + PAIRS];
        block[j] = radius * (float)elementary_cos((double)angle);
        block[j + PAIRS] = radius * (float)elementary_sin((double)angle);
    }
}

static void fill_blocks(struct mt19937 *generator, float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = uniform_float(generator);
    for (size_t i = 0; i + BLOCK <= n; i += BLOCK)
        box_muller_block(values + i);
    if (n % BLOCK != 0) {
        float *last = values + n - BLOCK;
        for (unsigned i = 0; i < BLOCK; i++)
            last[i] = uniform_float(generator);
        box_muller_block(last);
    }
}

/* normal_distribution<double>, one value at a time: the sine waits for the next. Its
 * log1p(-u) is that of 1 - u, which is exact for u of 53 bits. */
static void fill_pairs(struct mt19937 *generator, float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 2) {
        const double u1 = uniform_double(generator);
        const double u2 = uniform_double(generator);
        const double radius = sqrt(-2.0 * elementary_log(1.0 - u2));
        values[i] = (float)(radius * elementary_cos(two_pi * u1));
        if (i + 1 < n)
            values[i + 1] = (float)(radius * elementary_sin(two_pi * u1));
    }
}

void noise_fill(uint32_t seed, float *values, size_t n)
{
    struct mt19937 generator = mt19937_seeded(seed);
    if (n < BLOCK)
        fill_pairs(&generator, values, n);
    else
        fill_blocks(&generator, values, n);
}
