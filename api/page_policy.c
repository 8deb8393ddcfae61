#include "api/page_policy.h"

#include "api/base64.h"
#include "base/digest.h"

#include <stdint.h>
#include <string.h>

enum { DIGEST_BYTES = (DIGEST_TEXT_SIZE - 1) / 2 };

/* A piece of the page. */
struct span {
    const unsigned char *start;
    size_t length;
};

/* The place behind the first `text` in span; its length is 0 when there is none. */
static struct span behind(struct span span, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= span.length; i++) {
        if (memcmp(span.start + i, text, length) == 0)
            return (struct span){span.start + i + length, span.length - i - length};
    }
    return (struct span){span.start + span.length, 0};
}

/* What stands between the tags. */
static bool find_element(struct span page,
                         const char *opening,
                         const char *closing,
                         struct span *element)
{
    struct span content = behind(page, opening), rest = behind(content, closing);
    if (content.length == 0 || rest.length == 0)
        return false;
    content.length -= rest.length + strlen(closing);
    *element = content;
    return true;
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* " 'sha256-<base64>'" */
static void write_hash(struct span span, struct buf *out)
{
    struct digest digest;
    char hex[DIGEST_TEXT_SIZE];
    uint8_t bytes[DIGEST_BYTES];
    digest_init(&digest);
    digest_add(&digest, span.start, span.length);
    digest_finish(&digest, hex);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        bytes[i] = (uint8_t)(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
    (void)buf_print(out, " 'sha256-");
    base64_encode(bytes, sizeof(bytes), out);
    (void)buf_append(out, "'", 1);
}

bool page_policy_write(const unsigned char *page, size_t length, struct buf *out)
{
    struct span whole = {page, length}, script, style;
    if (!find_element(whole, "<script>", "</script>", &script) ||
        !find_element(whole, "<style>", "</style>", &style))
        return false;
    (void)buf_print(out, "default-src 'none'; script-src");
    write_hash(script, out);
    (void)buf_print(out, "; style-src");
    write_hash(style, out);
    (void)buf_print(out, "; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
                         "form-action 'none'; frame-ancestors 'none'; "
                         "require-trusted-types-for 'script'; trusted-types 'none'");
    return true;
}
