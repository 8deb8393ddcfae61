/* Found by all of the prompt's bytes, bounded, merged, and never gone while held. */
#include "server/context_cache.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { TOKENS = 4, WIDTH = 8 };

static struct context *create(const char *prompt, size_t bytes, float value)
{
    struct context *context = NULL;
    struct err err;
    CHECK_OK(context_create(&context, prompt, bytes, TOKENS, WIDTH, &err), err);
    CHECK(context->holds == 1 && !context->is_cached);
    CHECK(context->condition.tokens == TOKENS && context->condition.width == WIDTH);
    CHECK(context->condition.context == context_values(context));
    CHECK((uintptr_t)context_values(context) % sizeof(float) == 0);
    for (size_t i = 0; i < TOKENS * WIDTH; i++)
        context_values(context)[i] = value;
    CHECK(memcmp(context->prompt, prompt, bytes) == 0 && context->prompt[bytes] == '\0');
    return context;
}

static void expect_value(const struct context *context, float value)
{
    CHECK(context != NULL);
    for (size_t i = 0; i < TOKENS * WIDTH; i++)
        CHECK(memcmp(&context->condition.context[i], &value, sizeof(value)) == 0);
}

/* Adds a context for the prompt and lets it go. */
static void add(struct context_cache *cache, const char *prompt, float value)
{
    context_release(context_cache_add(cache, create(prompt, strlen(prompt), value)));
}

static bool has(struct context_cache *cache, const char *prompt)
{
    struct context *context = context_cache_find(cache, prompt, strlen(prompt));
    context_release(context);
    return context != NULL;
}

/* What one context with a prompt of one byte takes. */
static size_t one_size(void)
{
    struct context_cache cache;
    context_cache_init(&cache, SIZE_MAX);
    add(&cache, "x", 0.0f);
    const size_t bytes = cache.bytes;
    CHECK(bytes > TOKENS * WIDTH * sizeof(float) && bytes < 1000);
    context_cache_finish(&cache);
    CHECK(cache.bytes == 0);
    return bytes;
}

static void test_finds_by_all_bytes(void)
{
    static const struct {
        const char *text;
        size_t bytes;
    } prompts[] = {{"", 0}, {"a", 1}, {"ab", 2}, {"a\0b", 3}, {"a\0c", 3}, {"abc", 3}};
    struct context_cache cache;
    context_cache_init(&cache, SIZE_MAX);
    for (size_t i = 0; i < 6; i++) {
        CHECK(context_cache_find(&cache, prompts[i].text, prompts[i].bytes) == NULL);
        context_release(context_cache_add(
            &cache, create(prompts[i].text, prompts[i].bytes, (float)i)));
    }
    for (size_t i = 0; i < 6; i++) {
        struct context *found =
            context_cache_find(&cache, prompts[i].text, prompts[i].bytes);
        expect_value(found, (float)i);
        CHECK(found->holds == 1);
        context_release(found);
    }
    CHECK(!has(&cache, "abcd") && !has(&cache, "b"));
    context_cache_finish(&cache);
}

/* The least recently used goes first; finding is using. */
static void test_drops_the_oldest(void)
{
    struct context_cache cache;
    context_cache_init(&cache, 3 * one_size());
    add(&cache, "a", 1.0f);
    add(&cache, "b", 2.0f);
    add(&cache, "c", 3.0f);
    CHECK(cache.bytes == cache.limit);
    CHECK(has(&cache, "a"));
    add(&cache, "d", 4.0f);
    CHECK(has(&cache, "a") && !has(&cache, "b") && has(&cache, "c") && has(&cache, "d"));
    CHECK(cache.bytes <= cache.limit);
    context_cache_finish(&cache);
}

/* A held context stays, whatever is added, and is freed by its last holder. */
static void test_held_contexts_stay(void)
{
    struct context_cache cache;
    context_cache_init(&cache, one_size());
    struct context *held = context_cache_add(&cache, create("held", 4, 7.0f));
    CHECK(held->holds == 1 && held->is_cached);
    struct context *again = context_cache_find(&cache, "held", 4);
    CHECK(again == held && held->holds == 2);
    for (int i = 0; i < 20; i++) {
        const char prompt[] = {(char)('a' + i), '\0'};
        add(&cache, prompt, 0.0f);
        expect_value(held, 7.0f);
        CHECK(has(&cache, "held"));
    }
    context_release(again);
    expect_value(held, 7.0f);
    context_cache_finish(&cache);
    CHECK(!held->is_cached && held->holds == 1 && cache.bytes == 0);
    expect_value(held, 7.0f);
    context_release(held);
    context_release(NULL);
}

/* With a limit of nothing each context lives as long as it is held. */
static void test_no_room(void)
{
    struct context_cache cache;
    context_cache_init(&cache, 0);
    struct context *context = context_cache_add(&cache, create("a", 1, 1.0f));
    expect_value(context, 1.0f);
    context_release(context);
    add(&cache, "b", 2.0f);
    CHECK(!has(&cache, "a"));
    context_cache_finish(&cache);
}

/* Two workers encoded the same prompt: one context is left, and both have it. */
static void test_duplicates_merge(void)
{
    struct context_cache cache;
    context_cache_init(&cache, SIZE_MAX);
    struct context *first = context_cache_add(&cache, create("p", 1, 1.0f));
    const size_t bytes = cache.bytes;
    struct context *second = context_cache_add(&cache, create("p", 1, 1.0f));
    CHECK(second == first && first->holds == 2 && cache.bytes == bytes);
    context_release(second);
    context_release(first);
    CHECK(has(&cache, "p"));
    context_cache_finish(&cache);
}

/* Never cached: freed by its holder. */
static void test_fresh_is_released(void)
{
    context_release(create("unused", 6, 0.0f));
    struct context *context = NULL;
    struct err err = {0};
    CHECK(context_create(&context, "p", 1, SIZE_MAX / 8, 8, &err) == ERR_NO_MEMORY);
    CHECK(context_create(&context, "p", 1, SIZE_MAX / 2, 8, &err) == ERR_NO_MEMORY);
    CHECK(context == NULL && strstr(err.message, "no memory for a context") != NULL);
}

/* Jobs come and go: what they hold is theirs, and the bytes are those of the contexts. */
static void test_traffic(void)
{
    enum { SEATS = 12, PROMPTS = 40 };
    struct context_cache cache;
    struct context *seats[SEATS] = {0};
    struct draw draw = {3};
    const size_t size = one_size();
    context_cache_init(&cache, 10 * size);
    for (int i = 0; i < 20000; i++) {
        const size_t seat = draw_below(&draw, SEATS);
        const char prompt[] = {(char)('0' + draw_below(&draw, PROMPTS)), '\0'};
        context_release(seats[seat]);
        seats[seat] = context_cache_find(&cache, prompt, 1);
        if (seats[seat] == NULL)
            seats[seat] = context_cache_add(&cache, create(prompt, 1, (float)prompt[0]));
        expect_value(seats[seat], (float)prompt[0]);
        CHECK(seats[seat]->prompt[0] == prompt[0]);
        size_t cached = 0;
        struct list_node *node = list_first(&cache.contexts);
        for (; node != NULL; node = list_next(&cache.contexts, node))
            cached++;
        CHECK(cache.bytes == cached * size);
        CHECK(cache.bytes <= cache.limit + SEATS * size);
    }
    for (size_t i = 0; i < SEATS; i++)
        context_release(seats[i]);
    add(&cache, "x", 0.0f);
    CHECK(cache.bytes <= cache.limit);
    context_cache_finish(&cache);
}

int main(void)
{
    test_finds_by_all_bytes();
    test_drops_the_oldest();
    test_held_contexts_stay();
    test_no_room();
    test_duplicates_merge();
    test_fresh_is_released();
    test_traffic();
    return 0;
}
