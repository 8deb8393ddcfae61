#include "base/random.h"

#include <sodium/core.h>
#include <sodium/randombytes.h>

bool random_init(void)
{
    return sodium_init() >= 0;
}

void random_fill(void *data, size_t length)
{
    randombytes_buf(data, length);
}

uint32_t random_u32(void)
{
    return randombytes_random();
}
