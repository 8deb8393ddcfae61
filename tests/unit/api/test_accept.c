#include "api/accept.h"
#include "tests/check.h"

#include <stddef.h>
#include <string.h>

/* Whether a header allows image/png. */
static const struct {
    const char *accept;
    bool png;
} accepts[] = {
    {NULL, true},
    {"", true},
    {" , ,\t", true},
    {"*/*", true},
    {"image/*", true},
    {"image/png", true},
    {"IMAGE/PNG", true},
    {"image/pn", false},
    {"image/pngx", false},
    {"imag/png", false},
    {"image/jpeg", false},
    {"text/*", false},
    {"text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", true},
    {"text/html,image/jpeg", false},
    {"image/png;q=0", false},
    {"image/png; q=0.000", false},
    {"image/png ; q=0.001", true},
    {"image/png;Q=1.000", true},
    {"image/png;q=0, */*", false}, /* the most specific decides */
    {"*/*, image/png;q=0", false}, /* in any order */
    {"image/*;q=0, */*;q=1", false},
    {"image/png;q=0.1, image/*;q=0", true},
    {"*/*;q=0", false},
    {"*/*;q=0, image/*", true},
    {"image/png;q=0, image/png;level=1", true},
    {"image/png;level=1, image/png;q=0", true},
    {"image/png;level=\"a,b;q=0\"", true},
    {"image/png;level=\"a\\\",b\";q=0", false},
    {"image/jpeg;x=\"image/png\"", false},
    {"image/jpeg;x=\", image/png\"", false},
    {"image/png;;q=0.5;", true},
    {"*/png", false},
    {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", true},
    {"*;q=0", false},
    /* Malformed parts allow nothing, the others still count. */
    {"image", false},
    {"image/", false},
    {"/png", false},
    {"image/png;q", false},
    {"image/png;q=", false},
    {"image/png;q=x", false},
    {"image/png;q=2", false},
    {"image/png;q=1.5", false},
    {"image/png;q=-1", false},
    {"image/png;q=0.5.5", false},
    {"image/png;q=.", false},
    {"image/png;q=01", false},
    {"image/png;q= 1", false},
    {"image/png;a=\"b", false},
    {"image/png;a=\"b\\", false},
    {"image /png", false},
    {"image/png image/png", false},
    {"image/png;q=2, image/*", true},
    {"@@@, image/png", true},
    {"\"a,b\", image/png", true},
    {"\"a, image/png", false},
    {"\xff\xfe, image/png", true},
};

static void test_accept(void)
{
    for (size_t i = 0; i < sizeof(accepts) / sizeof(accepts[0]); i++) {
        if (accept_allows(accepts[i].accept, "image/png") != accepts[i].png)
            (void)fprintf(stderr, "Accept: %s\n", accepts[i].accept);
        CHECK(accept_allows(accepts[i].accept, "image/png") == accepts[i].png);
    }
    CHECK(!accept_allows("*/*", "nonsense"));
}

static void test_content_type(void)
{
    static const struct {
        const char *content_type;
        bool json;
    } rows[] = {
        {NULL, false},
        {"", false},
        {"application/json", true},
        {" Application/JSON ", true},
        {"application/json;", true},
        {"application/json; charset=utf-8", true},
        {"application/json;charset=\"UTF-8\"", true},
        {"application/json;charset=\"u\\tf-8\"", true},
        {"application/json; profile=\"x;y\"", true},
        {"application/json; charset=iso-8859-1", false},
        {"application/json; charset=utf-8-and-more-than-fits", false},
        {"application/json; charset=utf-8; charset=utf-16", false},
        {"application/json; charset", false},
        {"application/json; charset=\"utf-8", false},
        {"application/json, application/json", false},
        {"application/json x", false},
        {"application/jsonx", false},
        {"application/problem+json", false},
        {"application/*", false},
        {"*/*", false},
        {"text/plain", false},
        {"application/x-www-form-urlencoded", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (accept_is_json(rows[i].content_type) != rows[i].json)
            (void)fprintf(stderr, "Content-Type: %s\n", rows[i].content_type);
        CHECK(accept_is_json(rows[i].content_type) == rows[i].json);
    }
}

/* Any bytes are read to their end and not further: every short string over the
 * characters that mean something. */
static void test_every_short_header(void)
{
    static const char letters[] = "*/;,=\"\\ aq0.";
    enum { LETTERS = sizeof(letters) - 1, LENGTH = 4 };
    size_t total = 1;
    for (int i = 0; i < LENGTH; i++)
        total *= LETTERS;
    for (size_t i = 0; i < total; i++) {
        char *text = malloc(LENGTH + 1); /* on the heap, for the sanitizer's red zone */
        CHECK(text != NULL);
        size_t rest = i;
        for (int k = 0; k < LENGTH; k++, rest /= LETTERS)
            text[k] = letters[rest % LETTERS];
        text[LENGTH] = '\0';
        bool with_any = strstr(text, "*/*") != NULL || strchr(text, '*') != NULL;
        CHECK(!accept_is_json(text));
        if (accept_allows(text, "image/png") && strspn(text, ", ") != LENGTH)
            CHECK(with_any);
        free(text);
    }
}

/* How much a header wants image/png, and whether it names it. */
static const struct {
    const char *accept;
    unsigned quality;
    bool is_named;
} qualities[] = {
    {NULL, 1000, false},
    {"", 1000, false},
    {"*/*", 1000, false},
    {"*/*;q=0.8", 800, false},
    {"image/*;q=0.25", 250, true},
    {"image/png", 1000, true},
    {"image/png;q=1.0", 1000, true},
    {"image/png;q=.5", 500, true},
    {"image/png;q=0.123456", 123, true},
    {"image/png;q=0.0001", 1, true},
    {"image/png;q=0", 0, true},
    {"image/png;q=0.2, image/*;q=0.9", 200, true},
    {"image/png;q=0.2, image/png;x=1;q=0.7, image/png;q=0.3", 700, true},
    {"text/html", 0, false},
    {"text/html, */*;q=0.1", 100, false},
};

static void test_quality(void)
{
    for (size_t i = 0; i < sizeof(qualities) / sizeof(qualities[0]); i++) {
        bool is_named = !qualities[i].is_named;
        CHECK(accept_quality(qualities[i].accept, "image/png", &is_named) ==
              qualities[i].quality);
        CHECK(is_named == qualities[i].is_named);
    }
}

static void test_join(void)
{
    struct buf lines;
    buf_init(&lines, 100);
    accept_join(&lines, "text/html");
    CHECK(strcmp(lines.data, "text/html") == 0);
    accept_join(&lines, "image/png;q=0.5");
    CHECK(strcmp(lines.data, "text/html, image/png;q=0.5") == 0);
    buf_finish(&lines);
}

static void test_tokens(void)
{
    static const struct {
        const char *value, *list;
    } lists[] = {
        {NULL, "a"},
        {"", "a"},
        {" , ,", "a"},
        {"b", "a, b"},
        {"x-b,X-C ,\tx_d!", "a, x-b, X-C, x_d!"},
        {"b c, d", "a, d"},
        {"b:c, d;e, \"f\", g=1, \xc3\xa9, <h>, *", "a, *"},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct buf list;
        buf_init(&list, 100);
        accept_add_tokens(&list, "a");
        accept_add_tokens(&list, lists[i].value);
        CHECK(!list.failed && strcmp(list.data, lists[i].list) == 0);
        buf_finish(&list);
    }
    struct buf list;
    buf_init(&list, 7);
    accept_add_tokens(&list, "ab, cd, e");
    CHECK(list.overflowed && strcmp(list.data, "ab, cd") == 0);
    buf_finish(&list);
}

int main(void)
{
    test_quality();
    test_join();
    test_tokens();
    test_accept();
    test_content_type();
    test_every_short_header();
    return 0;
}
