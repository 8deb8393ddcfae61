/* The file of keys: its lines, what is wrong in them, and who is found by what header. */
#include "server/api_keys.h"
#include "tests/check.h"

#include <string.h>

/* SHA-256 of "open sesame" and of "test". */
#define SESAME "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb"
#define TEST   "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define UPPER  "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"

static struct api_keys *parse(const char *text)
{
    struct err err = {0};
    struct api_keys *keys = NULL;
    CHECK_OK(api_keys_parse(&keys, text, "keys", 0, &err), err);
    return keys;
}

static const struct {
    const char *text, *words;
} bad[] = {
    {"", "no key"},
    {"# nothing\n\n", "no key"},
    {"a\n", "line 1: a name, a SHA-256"},
    {"a " TEST "\nb " SESAME " 1 2 3\n", "line 2: a name, a SHA-256"},
    {"a/b " TEST, "a name is expected"},
    {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg " TEST, "a name"},
    {"a 9f86d081", "64 hex digits"},
    {"a " TEST "0", "64 hex digits"},
    {"a x" SESAME, "64 hex digits"},
    {"a " TEST " 0", "rate is an integer above 0"},
    {"a " TEST " 1.5", "rate is an integer above 0"},
    {"a " TEST " -1", "rate is an integer above 0"},
    {"a " TEST " 9223372036854775807", "rate is an integer above 0"},
    {"a " TEST " 5 0", "last field"},
    {"a " TEST "\n\na " SESAME, "line 3: another line has the same name"},
    {"a " TEST "\nb " UPPER, "line 2: another line has the same key"},
};

static void test_bad_files(void)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        struct api_keys *keys = NULL;
        CHECK(api_keys_parse(&keys, bad[i].text, "keys", 0, &err) == ERR_FORMAT);
        CHECK(keys == NULL && strncmp(err.message, "keys", 4) == 0);
        if (strstr(err.message, bad[i].words) == NULL) {
            (void)fprintf(stderr, "%s: %s\n", bad[i].text, err.message);
            exit(1);
        }
        CHECK(strstr(err.message, "9f86") == NULL);
    }
}

static void test_good_file(void)
{
    struct api_keys *keys = parse("# who may ask\r\n\n"
                                  "  shop\t" UPPER "   655360\r\n"
                                  "editor.2 " SESAME " 10 25\n");
    struct api_key *shop = api_keys_find(keys, "Bearer test");
    struct api_key *editor = api_keys_find(keys, "bearer  open ");
    CHECK(shop != NULL && strcmp(shop->name, "shop") == 0 && editor == NULL);
    CHECK(shop->is_limited);
    CHECK(token_bucket_take(&shop->bucket, 655360.0 * 60, 0) <= 0.0);
    CHECK(token_bucket_take(&shop->bucket, 1.0, 0) > 0.0);
    api_keys_close(keys);

    keys = parse("test " TEST); /* no end of the line, no rate */
    CHECK(!api_keys_find(keys, "Bearer test")->is_limited);
    api_keys_close(keys);
    api_keys_close(NULL);
}

static void test_headers(void)
{
    static const char *const none[] = {
        NULL,
        "",
        "Bearer",
        "Bearer ",
        "Bearer tes",
        "Bearer testt",
        "Bearer TEST",
        "Basic test",
        "Bearertest",
        "test",
        "Bearer test x",
        "Bearer, test",
        "Bearer \"test\"",
        ("Bearer " TEST),
        "BearerX test",
    };
    static const char *const found[] = {"Bearer test", "bearer test", "BEARER  test",
                                        "Bearer\ttest", "Bearer test "};
    struct api_keys *keys = parse("a " SESAME "\nb " TEST "\n");
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        CHECK(api_keys_find(keys, none[i]) == NULL);
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
        CHECK(strcmp(api_keys_find(keys, found[i])->name, "b") == 0);
    api_keys_close(keys);
}

static void test_no_file(void)
{
    struct err err = {0};
    struct api_keys *keys = NULL;
    CHECK(api_keys_open(&keys, "there is no such file", 0, &err) != ERR_OK);
    CHECK(strstr(err.message, "there is no such file") != NULL);
}

int main(void)
{
    test_bad_files();
    test_good_file();
    test_headers();
    test_no_file();
    return 0;
}
