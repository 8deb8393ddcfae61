#include "server/http_guard.h"

#include "base/text.h"

#include <string.h>

/* RFC 9110, section 5.6.2: tchar. */
static const char token_characters[] = "!#$%&'*+-.^_`|~0123456789"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "abcdefghijklmnopqrstuvwxyz";

static bool is_token(const char *text)
{
    size_t length = strspn(text, token_characters);
    return length > 0 && text[length] == '\0';
}

static bool is_control(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte < 0x20 || byte == 0x7F;
}

/* The value of a hex digit; 16 for what is none. */
static unsigned hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? 16 : (unsigned)(at - digits) % 16;
}

/* Whether "%xx" stands here, for a control character. */
static bool is_escaped_control(const char *text)
{
    if (text[0] != '%' || hex_digit(text[1]) == 16)
        return false;
    unsigned low = hex_digit(text[2]), byte = hex_digit(text[1]) * 16 + low;
    return low < 16 && (byte < 0x20 || byte == 0x7F);
}

/* The first rule that is broken. strcspn("?") ends the path. */
static const char *check_characters(const char *target)
{
    size_t path = strcspn(target, "?");
    for (size_t i = 0; target[i] != '\0'; i++) {
        if (target[i] == ' ' || is_control(target[i]))
            return "no blank and no control character is allowed in the request's target";
        if (i < path && is_escaped_control(target + i))
            return "no escaped control character is allowed in the request's path";
        if (strncmp(target + i, "%00", 3) == 0)
            return "%00 is not allowed in the request's target";
    }
    return NULL;
}

/* Behind "http://" or "https://"; 0 when there is neither. */
static size_t scheme_length(const char *target)
{
    static const char *const schemes[] = {"http", "https"};
    char given[8] = "";
    size_t length = strcspn(target, ":");
    if (length >= sizeof(given) || strncmp(target + length, "://", 3) != 0)
        return 0;
    memcpy(given, target, length);
    return text_equal_ignoring_case(given, schemes[0]) ||
                   text_equal_ignoring_case(given, schemes[1])
               ? length + 3
               : 0;
}

size_t http_guard_path(const char *target)
{
    size_t scheme = scheme_length(target);
    return scheme == 0 ? 0 : scheme + strcspn(target + scheme, "/?");
}

/* RFC 9112, section 3.2. An authority with an escape or a user in it names no host that
 * is meant here. */
static const char *check_form(const struct http_guard_line *line)
{
    const char *target = line->target;
    size_t scheme = scheme_length(target), path = http_guard_path(target);
    bool is_asterisk = strcmp(target, "*") == 0 && strcmp(line->method, "OPTIONS") == 0;
    if (target[0] == '/' || is_asterisk)
        return NULL;
    if (scheme == 0)
        return "a target is expected that is a path, or begins with http://";
    size_t authority = strcspn(target + scheme, "/?%@#");
    return authority > 0 && scheme + authority == path
               ? NULL
               : "host and port are expected behind http://";
}

/* A line of which the last text is this must be followed by CR LF. */
static void expect_end(struct http_guard *guard, const char *last)
{
    guard->next = last + strlen(last) + 2;
}

static void set_wrong(struct http_guard *guard, const char *wrong)
{
    if (guard->wrong == NULL)
        guard->wrong = wrong;
}

void http_guard_begin(struct http_guard *guard, const struct http_guard_line *line)
{
    static const char expected[] = "a method, a target and HTTP/1.1 are expected, with "
                                   "one blank between them, and CR LF at the end";
    *guard = (struct http_guard){.is_http_1_0 = strcmp(line->version, "HTTP/1.0") == 0};
    expect_end(guard, line->version);
    if (!is_token(line->method) || line->target == NULL ||
        line->target_at != line->method + strlen(line->method) + 1 ||
        line->version != line->target_at + strlen(line->target) + 1) {
        set_wrong(guard, expected);
        return;
    }
    set_wrong(guard, check_characters(line->target));
    set_wrong(guard, check_form(line));
}

static const char *check_value(const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value != '\t' && is_control(*value))
            return "no control character is allowed in a header's value";
    }
    return NULL;
}

void http_guard_add(struct http_guard *guard, const char *name, const char *value)
{
    /* RFC 3986, section 3.2: uri-host and port. */
    static const char host_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                                          "uvwxyz0123456789-._~%!$&'()*+,;=:[]";
    bool is_encoding = text_equal_ignoring_case(name, "Transfer-Encoding");
    bool is_host = text_equal_ignoring_case(name, "Host");
    if (name != guard->next)
        set_wrong(guard, "CR LF is expected at the end of each header's line, no NUL in "
                         "it, and no line that continues the one before");
    if (!is_token(name))
        set_wrong(guard, "a header's name has no blanks and no special characters");
    set_wrong(guard, check_value(value));
    if (is_encoding && !text_equal_ignoring_case(value, "chunked"))
        set_wrong(guard, "the only Transfer-Encoding is chunked");
    if (is_host && strspn(value, host_characters) != strlen(value))
        set_wrong(guard, "Host is expected to be a name or an address, and a port");
    guard->lengths += text_equal_ignoring_case(name, "Content-Length");
    guard->encodings += is_encoding;
    guard->hosts += is_host;
    guard->authorizations += text_equal_ignoring_case(name, "Authorization");
    expect_end(guard, value);
}

bool http_guard_end(struct http_guard *guard, const char *end, struct problem *problem)
{
    if (guard->next + 2 != end)
        set_wrong(guard, "CR LF is expected at the end of each line, and no NUL in it");
    if (guard->lengths + guard->encodings > 1)
        set_wrong(guard, "one Content-Length or one Transfer-Encoding is expected");
    if (guard->is_http_1_0 && guard->encodings > 0)
        set_wrong(guard, "HTTP/1.0 has no Transfer-Encoding");
    if (guard->hosts > 1 || (guard->hosts == 0 && !guard->is_http_1_0))
        set_wrong(guard, "one Host is expected");
    if (guard->authorizations > 1)
        set_wrong(guard, "one Authorization is expected");
    return guard->wrong == NULL ||
           problem_set(problem, PROBLEM_MALFORMED, NULL, "%s", guard->wrong);
}
