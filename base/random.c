#include "base/random.h"

#include <sodium/randombytes.h>

void random_fill(void *data, size_t length)
{
    randombytes_buf(data, length);
}

uint32_t random_u32(void)
{
    return randombytes_random();
}
