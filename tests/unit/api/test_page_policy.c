#include "api/asset.h"
#include "api/page_policy.h"
#include "tests/check.h"

#include <string.h>

static bool write(const char *page, struct buf *out)
{
    return page_policy_write((const unsigned char *)page, strlen(page), out);
}

/* SHA-256 of "abc" and of "" in base64 (FIPS 180-4's first example). */
static void test_hashes(void)
{
    struct buf out;
    buf_init(&out, 4096);
    CHECK(write("<style></style><p><script>abc</script>\n", &out));
    CHECK(!out.failed);
    CHECK(strstr(out.data,
                 "script-src 'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=';") !=
          NULL);
    CHECK(strstr(out.data,
                 "style-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';") !=
          NULL);
    CHECK(strncmp(out.data, "default-src 'none';", 19) == 0);
    CHECK(strstr(out.data, "unsafe") == NULL);
    buf_finish(&out);
    CHECK(!write("<style></style><script>abc", &out));
    CHECK(!write("<style></style><script src=x></script> ", &out));
    CHECK(!write("<script></script> ", &out));
    CHECK(!write("", &out));
    buf_finish(&out);
}

static size_t occurrences(const char *text, const char *of)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, of)) != NULL; at++)
        n++;
    return n;
}

/* What the policy would block, or what would fetch something from another host, is not in
 * the page. */
static void test_page(void)
{
    struct buf page, out;
    buf_init(&page, 1 << 20);
    buf_init(&out, 4096);
    CHECK(buf_append(&page, asset_page.data, asset_page.length));
    CHECK(page_policy_write(asset_page.data, asset_page.length, &out));
    CHECK(occurrences(page.data, "<script") == 1);
    CHECK(occurrences(page.data, "<style") == 1);
    CHECK(occurrences(page.data, " style=\"") == 0);
    CHECK(occurrences(page.data, "innerHTML") == 0);
    CHECK(occurrences(page.data, " onclick=") == 0);
    CHECK(occurrences(page.data, "https://") == 0);
    /* The icon's name space is no address that is fetched. */
    CHECK(occurrences(page.data, "http://") ==
          occurrences(page.data, "http://www.w3.org"));
    CHECK(strcmp(asset_page.content_type, "text/html; charset=utf-8") == 0);
    CHECK(strncmp(page.data, "<!doctype html>", 15) == 0);
    buf_finish(&page);
    buf_finish(&out);
}

static void test_descriptions(void)
{
    CHECK(asset_openapi_yaml.length > 1000 && asset_openapi_json.length > 1000);
    CHECK(memcmp(asset_openapi_yaml.data, "openapi: 3.1", 12) == 0);
    CHECK(asset_openapi_json.data[0] == '{');
}

int main(void)
{
    test_hashes();
    test_page();
    test_descriptions();
    return 0;
}
