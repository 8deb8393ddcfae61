/* Messages are filled once, prefixed on the way up, and cut where they do not fit. */
#include "base/err.h"
#include "tests/check.h"

#include <string.h>

static void test_texts(void)
{
    CHECK(ERR_OK == 0);
    CHECK(strcmp(err_text(ERR_OK), "ok") == 0);
    CHECK(strcmp(err_text(ERR_NO_MEMORY), "out of memory") == 0);
    for (int code = ERR_OK; code <= ERR_INTERNAL; code++)
        CHECK(strlen(err_text((enum err_code)code)) > 1);
    CHECK(strcmp(err_text((enum err_code)99), "unknown error") == 0);
}

static void test_set(void)
{
    struct err err = {0};
    CHECK(err_set(&err, ERR_FORMAT, "found %d, expected %s", 3, "four") == ERR_FORMAT);
    CHECK(err.code == ERR_FORMAT);
    CHECK(strcmp(err.message, "found 3, expected four") == 0);
    CHECK(err_set(NULL, ERR_IO, "nobody listens to %d", 1) == ERR_IO);
    CHECK(err_prefix(NULL, ERR_IO, "nor to %d", 1) == ERR_IO);
}

static void test_prefix(void)
{
    struct err err;
    (void)err_set(&err, ERR_NOT_FOUND, "tensor x is missing");
    CHECK(err_prefix(&err, ERR_NOT_FOUND, "part %d", 2) == ERR_NOT_FOUND);
    CHECK(err_prefix(&err, ERR_NOT_FOUND, "%s", "folder") == ERR_NOT_FOUND);
    CHECK(strcmp(err.message, "folder: part 2: tensor x is missing") == 0);
    CHECK(err.code == ERR_NOT_FOUND);
}

/* Of a message that is too long the beginning stays, with its terminator. */
static void test_is_cut(void)
{
    enum { SIZE = sizeof(((struct err *)0)->message) };
    char text[2 * SIZE], shorter[SIZE];
    struct err err;
    memset(text, 'm', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    (void)err_set(&err, ERR_IO, "%s", text);
    CHECK(strlen(err.message) == SIZE - 1);

    (void)err_prefix(&err, ERR_IO, "where");
    CHECK(strlen(err.message) == SIZE - 1);
    CHECK(strncmp(err.message, "where: mmm", 10) == 0);

    /* Every length of a prefix around the size of the message. */
    for (size_t n = SIZE - 8; n < SIZE; n++) {
        memset(shorter, 'p', n);
        shorter[n] = '\0';
        (void)err_set(&err, ERR_IO, "%s", "reason");
        (void)err_prefix(&err, ERR_IO, "%s", shorter);
        CHECK(strlen(err.message) < SIZE);
        CHECK(strncmp(err.message, shorter, n) == 0);
    }
}

int main(void)
{
    test_texts();
    test_set();
    test_prefix();
    test_is_cut();
    return 0;
}
