#include "api/accept.h"

#include "base/text.h"

#include <stddef.h>
#include <string.h>

/* A piece of the header. */
struct span {
    const char *start;
    size_t length;
};

/* One media range or media type with what its parameters say. */
struct media {
    struct span type, subtype;
    unsigned quality;       /* thousandths */
    bool has_other_charset; /* one that is not UTF-8 */
};

static bool span_equals(struct span span, const char *text, size_t length)
{
    if (span.length != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        char a[2] = {span.start[i], '\0'}, b[2] = {text[i], '\0'};
        if (!text_equal_ignoring_case(a, b))
            return false;
    }
    return true;
}

/* RFC 9110, section 5.6.2: tchar. */
static bool is_token_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void skip_blanks(const char **at)
{
    while (**at == ' ' || **at == '\t')
        (*at)++;
}

static bool take_character(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool take_token(const char **at, struct span *token)
{
    token->start = *at;
    while (is_token_character(**at))
        (*at)++;
    token->length = (size_t)(*at - token->start);
    return token->length > 0;
}

/* A token or a quoted-string (section 5.6.4), the latter without its quotes. A value
 * longer than anything that is compared here is cut, which makes it equal to none. */
enum { VALUE_SIZE = 16, WHOLE = 1000 };

static bool take_value(const char **at, char value[VALUE_SIZE])
{
    size_t length = 0;
    bool is_quoted = take_character(at, '"');
    const char *start = *at;
    while (is_quoted ? **at != '"' && **at != '\0' : is_token_character(**at)) {
        if (is_quoted && **at == '\\')
            (*at)++;
        if (**at == '\0')
            return false;
        if (length < VALUE_SIZE - 1)
            value[length++] = **at;
        (*at)++;
    }
    value[length] = '\0';
    return is_quoted ? take_character(at, '"') : *at > start;
}

/* A weight (section 12.4.2) of any number of digits, in thousandths; what is above 0
 * stays so. Java's HttpURLConnection leaves the leading 0 away, so that may be missing.
 */
static bool read_weight(const char *value, unsigned *quality)
{
    const char *digits = value + strspn(value, "01");
    if (digits - value > 1 || (*digits != '.' && *digits != '\0') || *value == '\0')
        return false;
    const char *fraction = *digits == '.' ? digits + 1 : digits;
    bool fraction_is_zero = fraction[strspn(fraction, "0")] == '\0';
    if (fraction[strspn(fraction, "0123456789")] != '\0')
        return false;
    if (*value == '1' && !fraction_is_zero)
        return false;
    unsigned thousandths = *value == '1' ? WHOLE : 0, unit = WHOLE / 10;
    for (; *fraction != '\0' && unit > 0; fraction++, unit /= 10)
        thousandths += (unsigned)(*fraction - '0') * unit;
    *quality = thousandths == 0 && !fraction_is_zero ? 1 : thousandths;
    return true;
}

static bool take_parameter(const char **at, struct media *media)
{
    struct span name;
    char value[VALUE_SIZE];
    if (!take_token(at, &name) || !take_character(at, '=') || !take_value(at, value))
        return false;
    if (span_equals(name, "q", 1))
        return read_weight(value, &media->quality);
    if (span_equals(name, "charset", strlen("charset")) &&
        !text_equal_ignoring_case(value, "utf-8"))
        media->has_other_charset = true;
    return true;
}

/* type "/" subtype *( OWS ";" OWS [ parameter ] ), up to a comma or the end. A bare "*"
 * is what Java's HttpURLConnection sends for any type. */
static bool take_media(const char **at, struct media *media)
{
    *media = (struct media){.quality = WHOLE};
    if (!take_token(at, &media->type))
        return false;
    if (!take_character(at, '/')) {
        if (media->type.length != 1 || *media->type.start != '*')
            return false;
        media->subtype = media->type;
    } else if (!take_token(at, &media->subtype)) {
        return false;
    }
    for (skip_blanks(at); take_character(at, ';'); skip_blanks(at)) {
        skip_blanks(at);
        if (**at != ';' && **at != ',' && **at != '\0' && !take_parameter(at, media))
            return false;
    }
    return **at == ',' || **at == '\0';
}

/* Goes on to the next comma outside of quotes, or the end. */
static void skip_part(const char **at)
{
    bool is_quoted = false;
    for (; **at != '\0' && (is_quoted || **at != ','); (*at)++) {
        if (**at == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && **at == '\\' && (*at)[1] != '\0')
            (*at)++;
    }
}

/* How closely a range names media_type: 0 not at all, 1 as any, 2 by type, 3 in full. */
static int closeness(const struct media *range, const char *media_type)
{
    const char *slash = strchr(media_type, '/');
    if (slash == NULL)
        return 0;
    if (span_equals(range->type, "*", 1))
        return span_equals(range->subtype, "*", 1) ? 1 : 0;
    if (!span_equals(range->type, media_type, (size_t)(slash - media_type)))
        return 0;
    if (span_equals(range->subtype, "*", 1))
        return 2;
    return span_equals(range->subtype, slash + 1, strlen(slash + 1)) ? 3 : 0;
}

unsigned accept_quality(const char *accept, const char *media_type, bool *is_named)
{
    bool is_silent = true;
    unsigned quality = 0;
    int closest = 0;
    const char *at = accept != NULL ? accept : "";
    for (at += strspn(at, ", \t"); *at != '\0'; at += strspn(at, ", \t")) {
        struct media range;
        int close = take_media(&at, &range) ? closeness(&range, media_type) : 0;
        if (close > closest || (close > 0 && close == closest && range.quality > quality))
            quality = range.quality;
        closest = close > closest ? close : closest;
        is_silent = false;
        skip_part(&at);
    }
    if (is_named != NULL)
        *is_named = closest > 1;
    return is_silent ? WHOLE : quality;
}

bool accept_allows(const char *accept, const char *media_type)
{
    return accept_quality(accept, media_type, NULL) > 0;
}

bool accept_is_json(const char *content_type)
{
    if (content_type == NULL)
        return false;
    struct media media;
    const char *at = content_type;
    skip_blanks(&at);
    return take_media(&at, &media) && *at == '\0' &&
           closeness(&media, "application/json") == 3 && !media.has_other_charset;
}

void accept_join(struct buf *lines, const char *value)
{
    (void)buf_print(lines, "%s%s", lines->length > 0 ? ", " : "", value);
}

void accept_add_tokens(struct buf *list, const char *value)
{
    const char *at = value != NULL ? value : "";
    for (at += strspn(at, ", \t"); *at != '\0'; at += strspn(at, ", \t")) {
        struct span token;
        bool is_token = take_token(&at, &token);
        skip_blanks(&at);
        if (is_token && (*at == ',' || *at == '\0'))
            (void)buf_print(list, "%s%.*s", list->length > 0 ? ", " : "",
                            (int)token.length, token.start);
        skip_part(&at);
    }
}
