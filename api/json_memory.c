#include "api/json_memory.h"

#include <jansson.h>

#include <stdlib.h>

/* jansson's allocators are given no context, so that this cannot be anybody's field. */
static _Thread_local bool lacked;

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    lacked = lacked || memory == NULL;
    return memory;
}

void json_memory_init(void)
{
    json_set_alloc_funcs(allocate, free);
}

void json_memory_watch(void)
{
    lacked = false;
}

bool json_memory_lacked(void)
{
    return lacked;
}
