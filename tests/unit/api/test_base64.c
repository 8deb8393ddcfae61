#include "api/base64.h"
#include "tests/check.h"

#include <stdint.h>
#include <string.h>

static void check(const void *data, size_t length, const char *expected)
{
    struct buf out;
    buf_init(&out, 4096);
    (void)buf_append(&out, "", 0);
    base64_encode(data, length, &out);
    CHECK(!out.failed && strcmp(out.data, expected) == 0);
    buf_finish(&out);
}

/* RFC 4648, section 10. */
static void test_vectors(void)
{
    check("", 0, "");
    check("f", 1, "Zg==");
    check("fo", 2, "Zm8=");
    check("foo", 3, "Zm9v");
    check("foob", 4, "Zm9vYg==");
    check("fooba", 5, "Zm9vYmE=");
    check("foobar", 6, "Zm9vYmFy");
    check("\xfb\xff\xbf", 3, "+/+/");
    check("\x00\x00\x00", 3, "AAAA");
}

/* Longer than what is encoded at once: the pieces join without padding. */
static void test_long(void)
{
    uint8_t data[2000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    struct buf whole, pieces;
    buf_init(&whole, 4096);
    buf_init(&pieces, 4096);
    base64_encode(data, sizeof(data), &whole);
    for (size_t at = 0; at < sizeof(data); at += 3)
        base64_encode(data + at, sizeof(data) - at < 3 ? sizeof(data) - at : 3, &pieces);
    CHECK(whole.length == (sizeof(data) + 2) / 3 * 4);
    CHECK(strcmp(whole.data, pieces.data) == 0);
    buf_finish(&whole);
    buf_finish(&pieces);
}

static void test_no_room(void)
{
    struct buf out;
    buf_init(&out, 7);
    base64_encode("foobar", 6, &out);
    CHECK(out.failed);
    buf_finish(&out);
}

int main(void)
{
    test_vectors();
    test_long();
    test_no_room();
    return 0;
}
