#include "server/context_cache.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

struct allocation {
    struct context context;
    float values[]; /* tokens x width, then the prompt's bytes */
};

static size_t size_of(const struct context *context)
{
    return sizeof(struct allocation) + context->prompt_bytes + 1 +
           context->condition.tokens * context->condition.width * sizeof(float);
}

static bool is_for(const struct context *context, const char *prompt, size_t bytes)
{
    return context->prompt_bytes == bytes && memcmp(context->prompt, prompt, bytes) == 0;
}

void context_cache_init(struct context_cache *cache, size_t limit)
{
    list_init(&cache->contexts);
    cache->bytes = 0;
    cache->limit = limit;
}

/* Out of the cache; freed when nobody holds it. */
static void drop(struct context_cache *cache, struct context *context)
{
    list_remove(&context->node);
    cache->bytes -= size_of(context);
    context->is_cached = false;
    if (context->holds == 0)
        free(context);
}

void context_cache_finish(struct context_cache *cache)
{
    struct list_node *node;
    while ((node = list_first(&cache->contexts)) != NULL)
        drop(cache, list_entry(node, struct context, node));
}

struct context *
context_cache_find(struct context_cache *cache, const char *prompt, size_t bytes)
{
    struct list_node *node = list_first(&cache->contexts);
    for (; node != NULL; node = list_next(&cache->contexts, node)) {
        struct context *context = list_entry(node, struct context, node);
        if (!is_for(context, prompt, bytes))
            continue;
        list_remove(node);
        list_append(&cache->contexts, node);
        context->holds++;
        return context;
    }
    return NULL;
}

/* Drops what nobody holds, oldest first, until the rest fits. */
static void trim(struct context_cache *cache)
{
    struct list_node *node = list_first(&cache->contexts);
    while (node != NULL && cache->bytes > cache->limit) {
        struct list_node *next = list_next(&cache->contexts, node);
        struct context *context = list_entry(node, struct context, node);
        if (context->holds == 0)
            drop(cache, context);
        node = next;
    }
}

struct context *context_cache_add(struct context_cache *cache, struct context *context)
{
    struct context *first =
        context_cache_find(cache, context->prompt, context->prompt_bytes);
    if (first != NULL) {
        context_release(context);
        return first;
    }
    context->is_cached = true;
    cache->bytes += size_of(context);
    list_append(&cache->contexts, &context->node);
    trim(cache);
    return context;
}

enum err_code context_create(struct context **out,
                             const char *prompt,
                             size_t bytes,
                             size_t tokens,
                             size_t width,
                             struct err *err)
{
    size_t values = size_multiply(size_multiply(tokens, width), sizeof(float));
    size_t size = size_add(sizeof(struct allocation) + bytes + 1, values);
    struct allocation *allocation = size == SIZE_MAX ? NULL : malloc(size);
    if (allocation == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a context of %zu tokens",
                       tokens);
    struct context *context = &allocation->context;
    *context = (struct context){
        .holds = 1,
        .prompt = (char *)(allocation->values + tokens * width),
        .prompt_bytes = bytes,
        .condition = {tokens, width, allocation->values},
    };
    memcpy(context->prompt, prompt, bytes);
    context->prompt[bytes] = '\0';
    *out = context;
    return ERR_OK;
}

float *context_values(struct context *context)
{
    return ((struct allocation *)(void *)context)->values;
}

void context_release(struct context *context)
{
    if (context == NULL)
        return;
    context->holds--;
    if (context->holds == 0 && !context->is_cached)
        free(context);
}
