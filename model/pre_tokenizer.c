#define PCRE2_CODE_UNIT_WIDTH 8

#include "model/pre_tokenizer.h"

#include "base/buf.h"
#include "base/size.h"

#include <pcre2.h>
#include <utf8proc.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATTERN_LIMIT = 64 * 1024, /* bytes, translated */
    /* What one match may cost, in PCRE2's internal calls and in KiB of its memory. The
     * Qwen2 pattern needs a few calls for each character it looks at. */
    MATCH_CALLS = 10000,
    MATCH_CALLS_PER_BYTE = 16,
    MATCH_HEAP = 16 * 1024,
};

/* An added token as it is looked for: in NFC where the text is. */
struct needle {
    char *text; /* owned */
    size_t length;
    uint32_t id;
};

/* Needles by first byte, longer ones first among those, so that the first that matches
 * is the longest. */
struct added_set {
    struct needle *needles;
    size_t count;
    size_t first[257]; /* needles[first[b] .. first[b + 1]) begin with byte b */
};

/* The passes that cut out added tokens, in order. */
enum pass { RAW, NORMALIZED, PASSES };

struct pre_tokenizer {
    pcre2_code *regex;
    struct added_set sets[PASSES];
};

size_t pre_tokenizer_symbol(unsigned char byte, char symbol[2])
{
    /* Printable Latin-1 stands for itself; the others, in order, for U+0100 upwards. */
    static const struct {
        unsigned char first, last;
    } others[] = {{0x00, 0x20}, {0x7F, 0xA0}, {0xAD, 0xAD}};
    unsigned code = byte, base = 0x100;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (byte >= others[i].first && byte <= others[i].last)
            code = base + byte - others[i].first;
        base += others[i].last - others[i].first + 1U;
    }
    if (code < 0x80) {
        symbol[0] = (char)code;
        return 1;
    }
    symbol[0] = (char)(0xC0 | code >> 6);
    symbol[1] = (char)(0x80 | (code & 0x3F));
    return 2;
}

/*
 * Oniguruma and PCRE2 (with UTF and UCP) agree on the subset that passes here, but for
 * two constructs that are written out. \s: PCRE2 adds U+180E, which Oniguruma takes,
 * as the property White_Space does, for no space (pcre2pattern(3), "Generic character
 * types"; Oniguruma doc/RE). A dot: what is a line end is an option of PCRE2's build.
 */
#define SPACE "\\t-\\r\\x{85}\\p{Z}"

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static enum err_code refuse(const char *at, size_t length, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "the regex construct '%.*s' is not supported",
                   (int)length, at);
}

/* Copies the escape at *at, which begins with a backslash, and moves past it. */
static enum err_code
translate_escape(struct buf *out, const char **at, bool in_class, struct err *err)
{
    const char *p = *at;
    size_t length = 2;
    if (p[1] == 's') {
        (void)buf_print(out, in_class ? "%s" : "[%s]", SPACE);
    } else if (p[1] == 'S' && !in_class) {
        (void)buf_print(out, "[^%s]", SPACE);
    } else if (p[1] == 'p' || p[1] == 'P') {
        /* Only general categories: a script's name means its extensions in PCRE2. */
        if (p[2] != '{' || !is_upper(p[3]))
            return refuse(p, 2, err);
        length = is_lower(p[4]) ? 6 : 5;
        if (p[length - 1] != '}')
            return refuse(p, length - 1, err);
        (void)buf_append(out, p, length);
    } else if (is_upper(p[1]) || (p[1] >= '0' && p[1] <= '9') ||
               (is_lower(p[1]) && strchr("aefnrt", p[1]) == NULL) || p[1] == '\0' ||
               (unsigned char)p[1] >= 0x80) {
        return refuse(p, p[1] == '\0' || (unsigned char)p[1] >= 0x80 ? 1 : 2, err);
    } else {
        (void)buf_append(out, p, 2);
    }
    *at = p + length;
    return ERR_OK;
}

/* The length of a construct at p that is none of the common subset, 0 if there is none.
 */
static size_t foreign_construct(const char *p, bool in_class)
{
    static const struct {
        const char *text;
        bool in_class;
    } foreign[] = {
        {"^", false},  {"$", false},   {"(*", false}, {"{,", false}, {"}+", false},
        {"[]", false}, {"[^]", false}, {"[", true},   {"&&", true},
    };
    static const char *const groups[] = {"(?:",  "(?i:", "(?=", "(?!",
                                         "(?<=", "(?<!", "(?>"};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        size_t length = strlen(foreign[i].text);
        if (foreign[i].in_class == in_class && strncmp(p, foreign[i].text, length) == 0)
            return length;
    }
    if (in_class || strncmp(p, "(?", 2) != 0)
        return 0;
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strncmp(p, groups[i], strlen(groups[i])) == 0)
            return 0;
    }
    return strnlen(p, 3);
}

static enum err_code translate(struct buf *out, const char *pattern, struct err *err)
{
    bool in_class = false;
    for (const char *p = pattern; *p != '\0';) {
        if (*p == '\\') {
            enum err_code code = translate_escape(out, &p, in_class, err);
            if (code != ERR_OK)
                return code;
            continue;
        }
        size_t foreign = foreign_construct(p, in_class);
        if (foreign > 0)
            return refuse(p, foreign, err);
        if (*p == '.' && !in_class)
            (void)buf_append(out, "[^\\n]", 5);
        else
            (void)buf_append(out, p, 1);
        if (*p == '[' || *p == ']')
            in_class = *p == '[';
        p++;
    }
    if (out->failed || out->data == NULL)
        return err_set(err, out->failed ? ERR_NO_MEMORY : ERR_FORMAT,
                       out->failed ? "the regex is too long" : "the regex is empty");
    return ERR_OK;
}

static enum err_code compile(pcre2_code **out, const char *pattern, struct err *err)
{
    struct buf buf;
    buf_init(&buf, PATTERN_LIMIT);
    enum err_code code = translate(&buf, pattern, err);
    if (code == ERR_OK) {
        int number = 0;
        PCRE2_SIZE where = 0;
        *out = pcre2_compile((PCRE2_SPTR)buf.data, buf.length, PCRE2_UTF | PCRE2_UCP,
                             &number, &where, NULL);
        if (*out == NULL) {
            char reason[128] = "";
            (void)pcre2_get_error_message(number, (PCRE2_UCHAR *)reason, sizeof(reason));
            code = err_set(err,
                           number == PCRE2_ERROR_HEAP_FAILED ? ERR_NO_MEMORY : ERR_FORMAT,
                           "the regex, read as '%.200s', fails at byte %zu: %s", buf.data,
                           (size_t)where, reason);
        }
    }
    buf_finish(&buf);
    return code;
}

static int compare_needles(const void *a, const void *b)
{
    const struct needle *left = a, *right = b;
    unsigned char l = (unsigned char)left->text[0], r = (unsigned char)right->text[0];
    if (l != r)
        return l < r ? -1 : 1;
    return (left->length < right->length) - (left->length > right->length);
}

static enum err_code
to_nfc(char **out, size_t *out_length, const char *text, size_t length, struct err *err)
{
    utf8proc_uint8_t *result = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &result,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (n < 0)
        return err_set(err, n == UTF8PROC_ERROR_NOMEM ? ERR_NO_MEMORY : ERR_INVALID,
                       "cannot normalise %zu bytes: %s", length, utf8proc_errmsg(n));
    *out = (char *)result;
    *out_length = (size_t)n;
    return ERR_OK;
}

/* Copies what belongs to the pass; the texts of the second are put into NFC too. */
static enum err_code fill_set(struct added_set *set,
                              enum pass pass,
                              const struct added_token *added,
                              size_t count,
                              struct err *err)
{
    set->needles = calloc(size_max(count, 1), sizeof(*set->needles));
    if (set->needles == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %zu added tokens", count);
    for (size_t i = 0; i < count; i++) {
        if (added[i].normalized != (pass == NORMALIZED))
            continue;
        char *text = NULL;
        size_t length = added[i].length;
        if (pass == NORMALIZED) {
            enum err_code code =
                to_nfc(&text, &length, added[i].text, added[i].length, err);
            if (code != ERR_OK)
                return code;
        } else if ((text = malloc(length)) != NULL) {
            memcpy(text, added[i].text, length);
        } else {
            return err_set(err, ERR_NO_MEMORY, "no memory for an added token");
        }
        set->needles[set->count++] =
            (struct needle){.text = text, .length = length, .id = added[i].id};
    }
    qsort(set->needles, set->count, sizeof(*set->needles), compare_needles);
    size_t at = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        set->first[byte] = at;
        while (at < set->count && (unsigned char)set->needles[at].text[0] == byte)
            at++;
    }
    set->first[256] = at;
    return ERR_OK;
}

enum err_code pre_tokenizer_create(struct pre_tokenizer **out,
                                   const char *pattern,
                                   const struct added_token *added,
                                   size_t count,
                                   struct err *err)
{
    struct pre_tokenizer *pre_tokenizer = calloc(1, sizeof(*pre_tokenizer));
    if (pre_tokenizer == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a pre-tokenizer");
    enum err_code code = compile(&pre_tokenizer->regex, pattern, err);
    for (enum pass pass = RAW; pass < PASSES && code == ERR_OK; pass++)
        code = fill_set(&pre_tokenizer->sets[pass], pass, added, count, err);
    if (code != ERR_OK) {
        pre_tokenizer_destroy(pre_tokenizer);
        return code;
    }
    *out = pre_tokenizer;
    return ERR_OK;
}

void pre_tokenizer_destroy(struct pre_tokenizer *pre_tokenizer)
{
    if (pre_tokenizer == NULL)
        return;
    for (enum pass pass = RAW; pass < PASSES; pass++) {
        struct added_set *set = &pre_tokenizer->sets[pass];
        for (size_t i = 0; i < set->count; i++)
            free(set->needles[i].text);
        free(set->needles);
    }
    pcre2_code_free(pre_tokenizer->regex);
    free(pre_tokenizer);
}

struct run {
    const struct pre_tokenizer *pre_tokenizer;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    pre_token_visitor visit;
    void *context;
};

static enum err_code
visit_text(const struct run *run, const char *text, size_t length, struct err *err)
{
    if (length == 0)
        return ERR_OK;
    return run->visit(run->context, &(struct pre_token){.text = text, .length = length},
                      err);
}

static enum err_code
split_by_regex(const struct run *run, const char *text, size_t length, struct err *err)
{
    size_t done = 0;
    (void)pcre2_set_match_limit(
        run->limits,
        (uint32_t)size_min(UINT32_MAX, MATCH_CALLS + MATCH_CALLS_PER_BYTE * length));
    for (size_t at = 0; at < length;) {
        int n = pcre2_match(run->pre_tokenizer->regex, (PCRE2_SPTR)text, length, at,
                            PCRE2_NO_UTF_CHECK, run->match, run->limits);
        if (n == PCRE2_ERROR_NOMATCH)
            break;
        if (n < 0)
            return err_set(
                err, n == PCRE2_ERROR_NOMEMORY ? ERR_NO_MEMORY : ERR_INVALID,
                "the pre-tokenizer's regex gives up at byte %zu of %zu (PCRE2 error %d)",
                at, length, n);
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(run->match);
        enum err_code code = visit_text(run, text + done, range[0] - done, err);
        if (code == ERR_OK)
            code = visit_text(run, text + range[0], range[1] - range[0], err);
        if (code != ERR_OK)
            return code;
        done = at = range[1];
        if (range[1] == range[0])
            at++; /* an empty match: go on after this character */
        while (at > done && at < length && ((unsigned char)text[at] & 0xC0) == 0x80)
            at++;
    }
    return visit_text(run, text + done, length - done, err);
}

/* The longest token of the set that begins at text[0], NULL when none does. */
static const struct needle *
find_needle(const struct added_set *set, const char *text, size_t length)
{
    unsigned char byte = (unsigned char)text[0];
    for (size_t i = set->first[byte]; i < set->first[byte + 1]; i++) {
        const struct needle *needle = &set->needles[i];
        if (needle->length <= length && memcmp(needle->text, text, needle->length) == 0)
            return needle;
    }
    return NULL;
}

/* What is done with the text between added tokens. */
typedef enum err_code (*stage)(const struct run *run,
                               const char *text,
                               size_t length,
                               struct err *err);

static enum err_code cut_added(const struct run *run,
                               enum pass pass,
                               stage next,
                               const char *text,
                               size_t length,
                               struct err *err)
{
    const struct added_set *set = &run->pre_tokenizer->sets[pass];
    enum err_code code = ERR_OK;
    size_t done = 0;
    for (size_t at = 0; at < length && code == ERR_OK;) {
        const struct needle *needle = find_needle(set, text + at, length - at);
        if (needle == NULL) {
            at++;
            continue;
        }
        if (at > done)
            code = next(run, text + done, at - done, err);
        if (code == ERR_OK)
            code = run->visit(run->context, &(struct pre_token){.id = needle->id}, err);
        at += needle->length;
        done = at;
    }
    if (code == ERR_OK && length > done)
        code = next(run, text + done, length - done, err);
    return code;
}

static enum err_code
normalize(const struct run *run, const char *text, size_t length, struct err *err)
{
    char *nfc = NULL;
    enum err_code code = to_nfc(&nfc, &length, text, length, err);
    if (nfc == NULL)
        return code;
    code = cut_added(run, NORMALIZED, split_by_regex, nfc, length, err);
    free(nfc);
    return code;
}

enum err_code pre_tokenizer_run(const struct pre_tokenizer *pre_tokenizer,
                                const char *text,
                                size_t length,
                                pre_token_visitor visit,
                                void *context,
                                struct err *err)
{
    struct run run = {
        .pre_tokenizer = pre_tokenizer,
        .match = pcre2_match_data_create(1, NULL),
        .limits = pcre2_match_context_create(NULL),
        .visit = visit,
        .context = context,
    };
    enum err_code code = ERR_OK;
    if (run.match == NULL || run.limits == NULL) {
        code = err_set(err, ERR_NO_MEMORY, "no memory for the pre-tokenizer's regex");
    } else {
        (void)pcre2_set_heap_limit(run.limits, MATCH_HEAP);
        code = cut_added(&run, RAW, normalize, text, length, err);
    }
    pcre2_match_data_free(run.match);
    pcre2_match_context_free(run.limits);
    return code;
}
