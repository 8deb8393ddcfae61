/* What goes in comes out, growth keeps it, and a failure is remembered. */
#include "base/buf.h"
#include "tests/check.h"

#include <string.h>
#include <wchar.h>

static void test_grows(void)
{
    struct buf buf;
    buf_init(&buf, 100000);
    CHECK(buf.data == NULL && buf.length == 0);
    for (unsigned i = 0; i < 10000; i++) {
        const char byte = (char)('a' + i % 26);
        CHECK(i % 2 == 0 ? buf_append(&buf, &byte, 1) : buf_print(&buf, "%c", byte));
        CHECK(buf.length == i + 1 && buf.data[i + 1] == '\0');
    }
    for (unsigned i = 0; i < 10000; i++)
        CHECK(buf.data[i] == (char)('a' + i % 26));
    CHECK(!buf.failed);
    buf_finish(&buf);
    CHECK(buf.data == NULL && buf.length == 0 && buf.capacity == 0);
    CHECK(buf_append(&buf, "again", 5));
    buf_finish(&buf);
}

static void test_keeps_bytes(void)
{
    struct buf buf;
    buf_init(&buf, 64);
    CHECK(buf_append(&buf, "a\0b", 3));
    CHECK(buf_append(&buf, NULL, 0));
    CHECK(buf_print(&buf, "%s", ""));
    CHECK(buf_print(&buf, "-%d-", 12));
    CHECK(buf.length == 7 && memcmp(buf.data, "a\0b-12-", 8) == 0);
    buf_finish(&buf);
}

/* Up to the limit and not a byte beyond it; nothing goes in after a failure. */
static void test_limit(void)
{
    struct buf buf;
    buf_init(&buf, 5);
    CHECK(buf_append(&buf, "12345", 5));
    CHECK(!buf.failed);
    CHECK(buf_append(&buf, "", 0));
    CHECK(!buf_append(&buf, "6", 1));
    CHECK(buf.failed && buf.overflowed);
    CHECK(!buf_append(&buf, "", 0) && !buf_print(&buf, "%s", ""));
    CHECK(buf.length == 5 && strcmp(buf.data, "12345") == 0);
    CHECK(buf_take(&buf, NULL) == NULL);
    buf_finish(&buf);

    buf_init(&buf, 5);
    CHECK(!buf_print(&buf, "%d", 123456));
    CHECK(buf.failed);
    buf_finish(&buf);
    buf_init(&buf, 5);
    CHECK(!buf_append(&buf, "", (size_t)-1));
    CHECK(buf.failed);
    buf_finish(&buf);
}

/* A conversion that printf refuses is a failure like any other. */
static void test_unprintable(void)
{
    struct buf buf;
    buf_init(&buf, 100);
    CHECK(!buf_print(&buf, "%lc", (wint_t)0x7FFFFFFF));
    CHECK(buf.failed && !buf.overflowed);
    buf_finish(&buf);
}

static void test_take(void)
{
    struct buf buf;
    size_t length = 77;
    buf_init(&buf, 100);
    CHECK(buf_take(&buf, &length) == NULL && length == 77);
    CHECK(buf_print(&buf, "%s", "mine"));
    char *data = buf_take(&buf, &length);
    CHECK(data != NULL && length == 4 && strcmp(data, "mine") == 0);
    CHECK(buf.data == NULL && buf.length == 0 && buf.limit == 100);
    CHECK(buf_append(&buf, "next", 4) && buf.data != data);
    free(data);
    buf_finish(&buf);
}

int main(void)
{
    test_grows();
    test_keeps_bytes();
    test_limit();
    test_unprintable();
    test_take();
    return 0;
}
