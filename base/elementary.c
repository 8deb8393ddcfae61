#include "base/elementary.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* ln 2 in two parts: the first has 33 bits, so that its products with exponents are
 * exact. */
static const double LN2_HIGH = 0x1.62e42fefap-1, LN2_LOW = 0x1.cf79abc9e3b3ap-40;

/* ln x = k ln 2 + 2 atanh(s), s = (m - 1) / (m + 1), m in [sqrt(1/2), sqrt(2)): the
 * series of atanh in s^2, whose terms fall by 0.03 each. */
double elementary_log(double x)
{
    enum { TERMS = 12 };
    uint64_t bits = bits_of(x);
    int exponent = (int)(bits >> 52) - 1022;
    double m = from_bits((bits & 0xFFFFFFFFFFFFFull) | 0x3FE0000000000000ull);
    if (m < 0x1.6a09e667f3bcdp-1) {
        m *= 2.0;
        exponent--;
    }
    double s = (m - 1.0) / (m + 1.0), z = s * s, sum = 0.0;
    for (int i = TERMS; i > 0; i--)
        sum = z * (1.0 / (2 * i + 1) + sum);
    double k = (double)exponent;
    return k * LN2_HIGH + (2.0 * (s + s * sum) + k * LN2_LOW);
}

/* e^x = 2^k e^r, |r| <= ln 2 / 2: the Taylor series of e^r. */
double elementary_exp(double x)
{
    enum { TERMS = 14 };
    double k = nearbyint(x * 0x1.71547652b82fep0);
    double r = (x - k * LN2_HIGH) - k * LN2_LOW, sum = 1.0;
    for (int i = TERMS; i > 0; i--)
        sum = 1.0 + sum * r / i;
    return sum * from_bits((uint64_t)((int64_t)k + 1023) << 52);
}

/* pi / 2 in three parts of 33 bits: products with quarters of a turn are exact. */
static const double QUARTER[] = {0x1.921fb544p0, 0x1.0b4611a6p-34, 0x1.3198a2e037073p-69};

/* The angle inside its quarter turn, |r| <= pi / 4, and the number of the quarter. */
static double reduce(double x, int *quarter)
{
    double k = nearbyint(x * 0x1.45f306dc9c883p-1);
    *quarter = (int)((int64_t)k & 3);
    return ((x - k * QUARTER[0]) - k * QUARTER[1]) - k * QUARTER[2];
}

static double sine_series(double r)
{
    enum { TERMS = 9 };
    double z = r * r, sum = 0.0;
    for (int i = TERMS; i > 0; i--)
        sum = -z / ((2 * i) * (2 * i + 1)) * (1.0 + sum);
    return r + r * sum;
}

static double cosine_series(double r)
{
    enum { TERMS = 9 };
    double z = r * r, sum = 0.0;
    for (int i = TERMS; i > 1; i--)
        sum = -z / ((2 * i - 1) * (2 * i)) * (1.0 + sum);
    return 1.0 - 0.5 * z * (1.0 + sum);
}

static double quarter_turns(double r, int quarter)
{
    double value = (quarter & 1) != 0 ? cosine_series(r) : sine_series(r);
    return (quarter & 2) != 0 ? -value : value;
}

double elementary_sin(double x)
{
    int quarter;
    double r = reduce(x, &quarter);
    return quarter_turns(r, quarter);
}

double elementary_cos(double x)
{
    int quarter;
    double r = reduce(x, &quarter);
    return quarter_turns(r, quarter + 1);
}
