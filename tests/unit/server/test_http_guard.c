/* Heads that are taken, and heads that are refused with words that say why. */
#include "server/http_guard.h"
#include "tests/check.h"

#include <string.h>

enum { MAX_HEAD = 1024 };

/* Checks a head as the library hands it over: it parses in place, ends texts with NULs
 * where blanks, colons and line ends were, joins nothing, and skips empty lines before.
 */
static bool check_head(const char *bytes, size_t length, struct problem *problem)
{
    char head[MAX_HEAD], target[MAX_HEAD];
    CHECK(length < sizeof(head));
    memcpy(head, bytes, length);
    head[length] = '\0';
    char *line = head, *end = memchr(head, '\n', length);
    struct http_guard guard;
    CHECK(end != NULL);
    for (bool is_first = true; end != NULL && end > line && *line != '\r';
         is_first = false) {
        *end = '\0';
        if (end[-1] == '\r')
            end[-1] = '\0';
        if (is_first) {
            char *at = memchr(line, ' ', (size_t)(end - line));
            CHECK(at != NULL);
            *at++ = '\0';
            at += strspn(at, " ");
            char *version = end;
            while (*version != ' ')
                version--;
            *version++ = '\0';
            memcpy(target, at, strlen(at) + 1);
            http_guard_begin(&guard,
                             &(struct http_guard_line){line, version, target, at});
        } else {
            char *colon = strchr(line, ':');
            CHECK(colon != NULL);
            *colon++ = '\0';
            http_guard_add(&guard, line, colon + strspn(colon, " \t"));
        }
        line = end + 1;
        end = memchr(line, '\n', (size_t)(head + length - line));
    }
    CHECK(end != NULL);
    return http_guard_end(&guard, end + 1, problem);
}

#define HOST "Host: a\r\n"
#define GET  "GET / HTTP/1.1\r\n"

static const struct {
    const char *bytes, *words; /* words NULL: taken */
    size_t length;
} heads[] = {
#define HEAD(bytes, words)                                                               \
    {                                                                                    \
        bytes "\r\n", words, sizeof(bytes "\r\n") - 1                                    \
    }
    HEAD(GET HOST, NULL),
    HEAD("GET / HTTP/1.0\r\n", NULL),
    HEAD("GET /a%20b?c=%0A+d HTTP/1.1\r\n" HOST, NULL),
    HEAD("GET http://a.example:80/livez HTTP/1.1\r\n" HOST, NULL),
    HEAD("GET HTTPS://a?b HTTP/1.1\r\n" HOST, NULL),
    HEAD("OPTIONS * HTTP/1.1\r\n" HOST, NULL),
    HEAD(GET HOST "A:b\r\nC: \t d\te \r\nE:\r\n", NULL),
    HEAD(GET HOST "Content-Length: 5\r\n", NULL),
    HEAD(GET HOST "transfer-encoding: chunked\r\n", NULL),
    HEAD(GET HOST "X: \xC3\xA9\xFF\r\n", NULL),

    HEAD("GET /a b HTTP/1.1\r\n" HOST, "blank"),
    HEAD("GET  / HTTP/1.1\r\n" HOST, "one blank"),
    HEAD("GET / HTTP/1.1\n" HOST, "CR LF"),
    HEAD("GET /livez\0x HTTP/1.1\r\n" HOST, "one blank"),
    HEAD("GET\0 / HTTP/1.1\r\n" HOST, "one blank"),
    HEAD("G\x01T / HTTP/1.1\r\n" HOST, "method"),
    HEAD("GET /\x01 HTTP/1.1\r\n" HOST, "control character"),
    HEAD("GET /\r HTTP/1.1\r\n" HOST, "control character"),
    HEAD("GET /livez%00x HTTP/1.1\r\n" HOST, "control character"),
    HEAD("GET /livez%1Fx HTTP/1.1\r\n" HOST, "control character"),
    HEAD("GET /livez%7fx HTTP/1.1\r\n" HOST, "control character"),
    HEAD("GET /a?b=%00 HTTP/1.1\r\n" HOST, "%00"),
    HEAD("GET livez HTTP/1.1\r\n" HOST, "path"),
    HEAD("GET * HTTP/1.1\r\n" HOST, "path"),
    HEAD("CONNECT a:80 HTTP/1.1\r\n" HOST, "path"),
    HEAD("GET ftp://a/ HTTP/1.1\r\n" HOST, "http://"),
    HEAD("GET http:///livez HTTP/1.1\r\n" HOST, "host"),
    HEAD("GET http://u@a/livez HTTP/1.1\r\n" HOST, "host"),
    HEAD("GET http://a%2F/livez HTTP/1.1\r\n" HOST, "host"),

    HEAD(GET, "Host"),
    HEAD(GET HOST HOST, "Host"),
    HEAD("GET / HTTP/1.0\r\n" HOST HOST, "Host"),
    HEAD(GET HOST "Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length"),
    HEAD(GET HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "one Content"),
    HEAD(GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "one"),
    HEAD(GET HOST "Transfer-Encoding: gzip\r\n", "chunked"),
    HEAD(GET HOST "Transfer-Encoding: chunked \r\n", "chunked"),
    HEAD(GET HOST "Transfer-Encoding: Chunked, identity\r\n", "chunked"),
    HEAD("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "HTTP/1.0"),
    HEAD(GET HOST "Authorization: a\r\nauthorization: b\r\n", "Authorization"),

    HEAD(GET HOST "A : b\r\n", "name"),
    HEAD(GET HOST ": b\r\n", "name"),
    HEAD(GET HOST "A\xFF: b\r\n", "name"),
    HEAD(GET HOST "A\x7F: b\r\n", "name"),
    HEAD(GET HOST "A: b\x01\r\n", "control character"),
    HEAD(GET HOST "A: b\rC: d\r\n", "control character"),
    HEAD(GET HOST "A: b\x7F\r\n", "control character"),
    HEAD(GET HOST "A: b\0c\r\n", "NUL"),
    HEAD(GET HOST "A: b\0c\r\nD: e\r\n", "NUL"),
    HEAD(GET HOST "A: b\0\r\n", "NUL"),
    HEAD(GET HOST "A: b\n", "CR LF"),
    HEAD(GET HOST "A: b\nC: d\r\n", "CR LF"),
    {GET HOST "\n", "CR LF", sizeof(GET HOST "\n") - 1},
#undef HEAD
};

static void test_heads(void)
{
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct problem problem = {0};
        bool is_taken = check_head(heads[i].bytes, heads[i].length, &problem);
        if (is_taken != (heads[i].words == NULL) ||
            (!is_taken && strstr(problem.detail, heads[i].words) == NULL)) {
            (void)fprintf(stderr, "head %zu: %s: %s\n", i, heads[i].bytes,
                          problem.detail);
            exit(1);
        }
        CHECK(is_taken || problem.kind == PROBLEM_MALFORMED);
    }
}

/* A header that the library did not hand over: it was joined to another. */
static void test_hidden_header(void)
{
    static const char head[] = "GET\0/\0HTTP/1.1\0\0Host\0a\0\0X\0y\0\0\0";
    struct problem problem = {0};
    struct http_guard guard;
    struct http_guard_line line = {head, head + 6, "/", head + 4};
    http_guard_begin(&guard, &line);
    http_guard_add(&guard, head + 16, head + 21);
    CHECK(!http_guard_end(&guard, head + sizeof(head), &problem));
    http_guard_begin(&guard, &line);
    http_guard_add(&guard, head + 16, head + 21);
    http_guard_add(&guard, head + 24, head + 26);
    CHECK(http_guard_end(&guard, head + sizeof(head), &problem));
}

static void test_path(void)
{
    static const struct {
        const char *target, *path;
    } cases[] = {
        {"/livez", "/livez"},           {"*", "*"},
        {"http://a/livez", "/livez"},   {"hTTps://a:1/b?c", "/b?c"},
        {"http://a?b", "?b"},           {"http://a", ""},
        {"/http://a/b", "/http://a/b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *target = cases[i].target;
        CHECK(strcmp(target + http_guard_path(target), cases[i].path) == 0);
    }
}

int main(void)
{
    test_heads();
    test_hidden_header();
    test_path();
    return 0;
}
