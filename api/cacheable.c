#include "api/cacheable.h"

#include "api/png_image.h"
#include "api/request_query.h"
#include "base/buf.h"
#include "base/digest.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { TAG_DIGITS = CACHEABLE_TAG_SIZE - 3, MAX_TEXT = 64 * 1024 };

bool cacheable_tag(char tag[CACHEABLE_TAG_SIZE],
                   const struct request *request,
                   const struct cacheable_build *build,
                   struct problem *problem)
{
    struct buf text;
    buf_init(&text, MAX_TEXT);
    request_query_write(request, 0, build->model_digest, &text);
    (void)buf_print(&text, "\n%s\n%s\n%s\n%d\n", build->model_name, build->version,
                    build->arithmetic, build->has_text);
    png_image_versions(&text);
    bool is_whole = !text.failed;
    if (is_whole) {
        struct digest digest;
        char hex[DIGEST_TEXT_SIZE];
        digest_init(&digest);
        digest_add(&digest, text.data, text.length);
        digest_finish(&digest, hex);
        (void)snprintf(tag, CACHEABLE_TAG_SIZE, "\"%.*s\"", TAG_DIGITS, hex);
    }
    buf_finish(&text);
    return is_whole || problem_set(problem, PROBLEM_INTERNAL, NULL, "out of memory");
}

/* entity-tag = [ %s"W/" ] DQUOTE *etagc DQUOTE; no escapes (section 8.8.3). The length of
 * the one at `at` with its quotes; 0 when there is none. */
static size_t tag_length(const char *at)
{
    if (*at != '"')
        return 0;
    const char *end = strchr(at + 1, '"');
    return end != NULL ? (size_t)(end - at) + 1 : 0;
}

bool cacheable_matches(const char *if_none_match, const char *tag)
{
    if (if_none_match == NULL)
        return false;
    const char *at = if_none_match + strspn(if_none_match, " \t");
    if (*at == '*')
        return at[1 + strspn(at + 1, " \t")] == '\0';
    for (at += strspn(at, ", \t"); *at != '\0'; at += strspn(at, ", \t")) {
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        size_t length = tag_length(at);
        if (length == 0)
            return false;
        if (length == strlen(tag) && memcmp(at, tag, length) == 0)
            return true;
        at += length;
        at += strspn(at, " \t");
        if (*at != ',')
            return false;
    }
    return false;
}

const char *cacheable_control(bool is_pinned, bool is_private)
{
    static const char *const values[2][2] = {
        {"public, max-age=3600", "private, max-age=3600"},
        {"public, max-age=31536000, immutable", "private, max-age=31536000, immutable"},
    };
    return values[is_pinned][is_private];
}

bool cacheable_check_model(const char *asked, const char *loaded, struct problem *problem)
{
    if (*asked == '\0' || strcmp(asked, loaded) == 0)
        return true;
    return problem_set(problem, PROBLEM_NOT_FOUND, "model",
                       "model: the one that is loaded is %.64s, asked for is %.64s",
                       loaded, asked);
}
