/*
 * context_cache - encoded prompts, by their text, so that the same prompt (and the empty
 * one of every guided request) is encoded once.
 *
 * Bounded in bytes: the least recently used contexts that nobody holds are dropped. A
 * held context lives on until its last holder lets go.
 *
 * Threads: the engine's only. Ownership: a context is counted; context_cache_find and
 * context_cache_add give the caller one hold, context_release takes it back.
 */
#ifndef SLUICE_SERVER_CONTEXT_CACHE_H
#define SLUICE_SERVER_CONTEXT_CACHE_H

#include "base/err.h"
#include "base/list.h"
#include "model/velocity.h"

#include <stdbool.h>
#include <stddef.h>

struct context {
    struct list_node node; /* in the cache, most recently used last */
    size_t holds;          /* the cache's own not counted */
    bool is_cached;
    char *prompt;
    size_t prompt_bytes;
    size_t tokens, tokens_total; /* of the prompt: used, and before it was cut */
    struct condition condition;  /* its values are behind it, in the same allocation */
};

struct context_cache {
    struct list contexts;
    size_t bytes, limit;
};

void context_cache_init(struct context_cache *cache, size_t limit);

/* Frees all contexts that nobody holds; holders free the others. */
void context_cache_finish(struct context_cache *cache);

/* The prompt's context, held for the caller; NULL when it is not there. */
struct context *
context_cache_find(struct context_cache *cache, const char *prompt, size_t bytes);

/* Takes a fresh context (made by context_create, held once). When another one for the
 * same prompt came first, that one is returned in its place, held, and this one freed. */
struct context *context_cache_add(struct context_cache *cache, struct context *context);

/* Room for a context of tokens x width values; held once by the caller. May be called by
 * any thread. */
enum err_code context_create(struct context **out,
                             const char *prompt,
                             size_t bytes,
                             size_t tokens,
                             size_t width,
                             struct err *err);

/* The values of a fresh context, to be written before it is added. */
float *context_values(struct context *context);

/* Gives a hold back; NULL is accepted. */
void context_release(struct context *context);

#endif
