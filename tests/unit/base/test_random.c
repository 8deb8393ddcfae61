/* Bytes differ from call to call, and every bit is drawn. */
#include "base/random.h"
#include "tests/check.h"

#include <string.h>

int main(void)
{
    unsigned char a[32] = {0}, b[32] = {0}, untouched[4] = {1, 2, 3, 4};
    random_fill(a, sizeof(a));
    random_fill(b, sizeof(b));
    CHECK(memcmp(a, b, sizeof(a)) != 0);
    random_fill(untouched + 1, 0);
    CHECK(memcmp(untouched, "\1\2\3\4", 4) == 0);

    /* 200 draws leave a bit always 0, or always 1, once in 2^194 tries. */
    uint32_t ones = 0, zeros = 0;
    for (int i = 0; i < 200; i++) {
        const uint32_t value = random_u32();
        ones |= value;
        zeros |= ~value;
    }
    CHECK(ones == UINT32_MAX && zeros == UINT32_MAX);
    return 0;
}
