/* Texts and their ids: what is found, what is not, what is refused. */
#include "model/vocabulary.h"
#include "tests/check.h"

#include <string.h>

enum { COUNT = 1000 };

static size_t name(char text[16], unsigned i)
{
    return (size_t)snprintf(text, 16, "t%x", i);
}

static void check_many(void)
{
    char text[16];
    struct err err;
    struct vocabulary *vocabulary = NULL;
    CHECK_OK(vocabulary_create(&vocabulary, COUNT, COUNT * 15, &err), err);
    CHECK(vocabulary_size(vocabulary) == 0);
    for (unsigned i = 0; i < COUNT; i++) {
        size_t length = name(text, i);
        CHECK_OK(vocabulary_add(vocabulary, text, length, 3 * i, &err), err);
    }
    for (unsigned i = 0; i < 2 * COUNT; i++) {
        uint32_t id = 7777777;
        size_t length = name(text, i);
        CHECK(vocabulary_find(vocabulary, text, length, &id) == (i < COUNT));
        CHECK(id == (i < COUNT ? 3 * i : 7777777));
    }
    CHECK(vocabulary_size(vocabulary) == 3 * (COUNT - 1) + 1);
    vocabulary_destroy(vocabulary);
}

static void check_refusals(void)
{
    struct err err = {0};
    struct vocabulary *vocabulary = NULL;
    CHECK_OK(vocabulary_create(&vocabulary, 2, 8, &err), err);
    CHECK_OK(vocabulary_add(vocabulary, "cat", 3, 5, &err), err);
    CHECK_OK(vocabulary_add(vocabulary, "cat", 3, 5, &err), err);
    CHECK(vocabulary_add(vocabulary, "cat", 3, 6, &err) == ERR_FORMAT);
    CHECK(strstr(err.message, "'cat' has two ids, 5 and 6") != NULL);
    CHECK(vocabulary_add(vocabulary, "", 0, 6, &err) == ERR_FORMAT);
    CHECK(vocabulary_add(vocabulary, "dog", 3, -1, &err) == ERR_FORMAT);
    CHECK(vocabulary_add(vocabulary, "dog", 3, VOCABULARY_ID_LIMIT, &err) == ERR_FORMAT);
    CHECK(strstr(err.message, "'dog'") != NULL);

    /* A part of a text is another text, and so is none at all. */
    uint32_t id = 0;
    CHECK(!vocabulary_find(vocabulary, "ca", 2, &id));
    CHECK(!vocabulary_find(vocabulary, "cat", 0, &id));
    CHECK(!vocabulary_find(vocabulary, "cats", 4, &id));
    CHECK(vocabulary_size(vocabulary) == 6);
    vocabulary_destroy(vocabulary);
    vocabulary_destroy(NULL);
}

int main(void)
{
    check_many();
    check_refusals();
    return 0;
}
