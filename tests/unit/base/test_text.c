/* UTF-8 against the list of all code points, numbers at their ends, files of all kinds.
 */
#include "base/text.h"
#include "tests/check.h"
#include "tests/lib/folder.h"

#include <string.h>
#include <sys/stat.h>

static bool is_one_character(const unsigned char *bytes, size_t n)
{
    size_t characters = 0;
    return text_is_utf8((const char *)bytes, n, &characters) && characters == 1;
}

/* RFC 3629, section 3. */
static size_t encode(uint32_t c, unsigned char *bytes)
{
    static const unsigned char leads[] = {0x00, 0x00, 0xC0, 0xE0, 0xF0};
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        bytes[i] = (unsigned char)(0x80 | (c & 0x3F));
    bytes[0] = (unsigned char)(leads[n] | c);
    return n;
}

static void test_all_code_points(void)
{
    unsigned char bytes[4];
    for (uint32_t c = 0; c <= 0x110000; c++) {
        size_t n = encode(c, bytes);
        bool is_surrogate = c >= 0xD800 && c <= 0xDFFF;
        CHECK(is_one_character(bytes, n) == (c <= 0x10FFFF && !is_surrogate));
        for (size_t cut = 1; cut < n; cut++)
            CHECK(!text_is_utf8((const char *)bytes, cut, NULL));
    }
}

/* As many sequences are accepted as there are code points: none has a second form. Of
 * the last two of four bytes only the ends of the range are tried. */
static void test_nothing_else(void)
{
    static const unsigned char ends[] = {0x7F, 0x80, 0xBF, 0xC0};
    size_t counts[5] = {0};
    unsigned char bytes[4];
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        bytes[0] = (unsigned char)(pair >> 8);
        bytes[1] = (unsigned char)(pair & 0xFF);
        counts[1] += bytes[1] == 0 && is_one_character(bytes, 1);
        counts[2] += is_one_character(bytes, 2);
        for (unsigned third = 0; third < 0x100; third++) {
            bytes[2] = (unsigned char)third;
            counts[3] += is_one_character(bytes, 3);
        }
        for (unsigned i = 0; i < 16; i++) {
            bytes[2] = ends[i / 4];
            bytes[3] = ends[i % 4];
            counts[4] += is_one_character(bytes, 4);
        }
    }
    CHECK(counts[1] == 0x80);
    CHECK(counts[2] == 0x800 - 0x80);
    CHECK(counts[3] == 0x10000 - 0x800 - 0x800);
    CHECK(counts[4] == (0x110000 - 0x10000) / (64 * 64) * 2 * 2);
}

static void test_counts_characters(void)
{
    static const char text[] = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x8D\x8Ez";
    size_t characters = 99;
    CHECK(text_is_utf8(text, sizeof(text) - 1, &characters) && characters == 5);
    CHECK(text_is_utf8("", 0, &characters) && characters == 0);
    CHECK(text_is_utf8("a\0b", 3, &characters) && characters == 3);
    characters = 99;
    CHECK(!text_is_utf8("ab\xFF", 3, &characters) && characters == 99);
}

static void test_numbers(void)
{
    static const struct {
        const char *text;
        uint64_t low, high;
        bool good;
        uint64_t value;
    } cases[] = {
        {"0", 0, 9, true, 0},
        {"9", 0, 9, true, 9},
        {"10", 0, 9, false, 0},
        {"3", 4, 9, false, 0},
        {"004", 4, 9, true, 4},
        {"18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", 0, UINT64_MAX, false, 0},
        {"18446744073709551620", 0, UINT64_MAX, false, 0},
        {"99999999999999999999999", 0, UINT64_MAX, false, 0},
        {"", 0, 9, false, 0},
        {"-1", 0, 9, false, 0},
        {"+1", 0, 9, false, 0},
        {" 1", 0, 9, false, 0},
        {"1 ", 0, 9, false, 0},
        {"1x", 0, 9, false, 0},
        {"0x1", 0, 9, false, 0},
        {"1.0", 0, 9, false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 77;
        CHECK(text_to_unsigned(cases[i].text, cases[i].low, cases[i].high, &value) ==
              cases[i].good);
        CHECK(value == (cases[i].good ? cases[i].value : 77));
    }
}

static void test_comparison(void)
{
    CHECK(text_equal_ignoring_case("", ""));
    CHECK(text_equal_ignoring_case("Content-TYPE", "content-type"));
    CHECK(!text_equal_ignoring_case("content", "content-type"));
    CHECK(!text_equal_ignoring_case("content-type", "content"));
    CHECK(!text_equal_ignoring_case("a", "b"));
    CHECK(!text_equal_ignoring_case("@", "`") && !text_equal_ignoring_case("[", "{"));
    CHECK(!text_equal_ignoring_case("\xC3\x84", "\xC3\xA4")); /* only ASCII */
}

static void
expect_refusal(const char *path, size_t limit, enum err_code code, const char *part)
{
    char *text = NULL;
    size_t length = 7;
    struct err err = {0};
    CHECK(text_read_file(&text, &length, path, limit, &err) == code);
    CHECK(err.code == code);
    CHECK(strstr(err.message, path) == err.message && strstr(err.message, part) != NULL);
    CHECK(text == NULL && length == 7);
}

static void test_files(void)
{
    char folder[FOLDER_PATH_SIZE], path[FOLDER_PATH_SIZE], *text;
    size_t length;
    struct err err;
    folder_create(folder);
    folder_write(folder, "a", "one\0two", 7);
    (void)folder_path(folder, "a", path);
    CHECK_OK(text_read_file(&text, &length, path, 7, &err), err);
    CHECK(length == 7 && memcmp(text, "one\0two", 8) == 0);
    free(text);
    expect_refusal(path, 6, ERR_FORMAT, "7 bytes, expected at most 6");

    folder_write(folder, "empty", "", 0);
    (void)folder_path(folder, "empty", path);
    CHECK_OK(text_read_file(&text, &length, path, 0, &err), err);
    CHECK(length == 0 && text[0] == '\0');
    free(text);

    expect_refusal(folder, 100, ERR_FORMAT, "not a regular file");
    expect_refusal(folder_path(folder, "none", path), 100, ERR_NOT_FOUND, "No such file");
    expect_refusal(folder_path(folder, "a/b", path), 100, ERR_IO, "Not a directory");
    /* Nobody writes to it: reading must not wait. */
    CHECK(mkfifo(folder_path(folder, "fifo", path), 0600) == 0);
    expect_refusal(path, 100, ERR_FORMAT, "not a regular file");
    folder_remove(folder);
}

static void test_doubles(void)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{3, "3"},           {2.5, "2.5"},
                 {0.1, "0.1"},       {2.3456789012345, "2.3456789012345"},
                 {1e-300, "1e-300"}, {1.0000000000000002, "1.0000000000000002"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[TEXT_NUMBER_SIZE];
        text_from_double(text, cases[i].value);
        CHECK(strcmp(text, cases[i].text) == 0);
        CHECK(strtod(text, NULL) == cases[i].value);
    }
}

int main(void)
{
    test_doubles();
    test_all_code_points();
    test_nothing_else();
    test_counts_characters();
    test_numbers();
    test_comparison();
    test_files();
    return 0;
}
