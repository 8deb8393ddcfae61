/* Where text is cut: added tokens, normalisation, the regex and what it refuses. Expected
 * pieces are those of Hugging Face's tokenizers 0.23. */
#include "model/pre_tokenizer.h"
#include "tests/check.h"

#include <string.h>

static const char qwen2[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

struct pieces {
    char text[512]; /* pieces, each followed by "|"; an added token is "<id>" */
    unsigned count, stop;
};

static enum err_code
collect(void *context, const struct pre_token *token, struct err *err)
{
    struct pieces *pieces = context;
    size_t at = strlen(pieces->text);
    if (++pieces->count == pieces->stop)
        return err_set(err, ERR_CANCELED, "stop");
    if (token->text == NULL)
        (void)snprintf(pieces->text + at, sizeof(pieces->text) - at, "<%lu>|",
                       (unsigned long)token->id);
    else
        (void)snprintf(pieces->text + at, sizeof(pieces->text) - at, "%.*s|",
                       (int)token->length, token->text);
    return ERR_OK;
}

static const struct added_token added[] = {
    {"<a>", 3, 1, false},       {"<a><b>", 6, 2, false}, {"<", 1, 3, false},
    {"e\xCC\x81!", 4, 4, true}, {"word", 4, 5, true},
};

static struct pre_tokenizer *create(const char *pattern, size_t tokens)
{
    struct err err;
    struct pre_tokenizer *pre_tokenizer = NULL;
    CHECK_OK(pre_tokenizer_create(&pre_tokenizer, pattern, added, tokens, &err), err);
    return pre_tokenizer;
}

static void check_pieces(void)
{
    static const struct {
        const char *pattern;
        size_t tokens; /* of added */
        const char *text, *pieces;
    } cases[] = {
        {qwen2, 0, "", ""},
        {qwen2, 0, "It's a 12\n\n b", "It|'s| a| |1|2|\n\n| b|"},
        {qwen2, 0, "x'S'LL'\xC5\xBF", "x|'S|'LL|'\xC5\xBF|"},
        {qwen2, 0, "a   b  ", "a|  | b|  |"},
        {qwen2, 0, "!!\r\n \n.", "!!\r\n| \n|.|"},
        /* U+0085 is a space, U+180E is none: it joins punctuation. */
        {qwen2, 0, "\xC2\x85\xC2\x85z", "\xC2\x85|\xC2\x85z|"},
        {qwen2, 0, "!\xE1\xA0\x8E! z", "!\xE1\xA0\x8E!| z|"},
        {qwen2, 0, "e\xCC\x81 \xE1\x84\x80\xE1\x85\xA1", "\xC3\xA9| \xEA\xB0\x80|"},
        /* Text without a match stays; an empty match only cuts. */
        {"[ab]+", 0, "xxabyy", "xx|ab|yy|"},
        {"a*", 0,
         "baa\xC3\xA9"
         "a",
         "b|aa|\xC3\xA9|a|"},
        {"(?=b)", 0, "abab", "a|ba|b|"},
        {"a.|\\.", 0, "ab.a\n", "ab|.|a\n|"},
        /* Leftmost, then longest; a cut ends what a lookahead can see. */
        {qwen2, 3, "x<a><b><a>y<", "x|<2>|<1>|y|<3>|"},
        {qwen2, 3, "x  <a>  y", "x|  |<1>| | y|"},
        {qwen2, 3, "<a>\xCC\x81", "<1>|\xCC\x81|"},
        /* Found in the normalised text, whatever form either has. */
        {qwen2, 5, "a e\xCC\x81!\xC3\xA9!<a>swords", "a| |<4>|<4>|<1>|s|<5>|s|"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err;
        struct pieces pieces = {0};
        struct pre_tokenizer *pre_tokenizer = create(cases[i].pattern, cases[i].tokens);
        CHECK_OK(pre_tokenizer_run(pre_tokenizer, cases[i].text, strlen(cases[i].text),
                                   collect, &pieces, &err),
                 err);
        if (strcmp(pieces.text, cases[i].pieces) != 0)
            (void)fprintf(stderr, "case %zu: %s, expected %s\n", i, pieces.text,
                          cases[i].pieces);
        CHECK(strcmp(pieces.text, cases[i].pieces) == 0);
        pre_tokenizer_destroy(pre_tokenizer);
    }
}

static void check_refusals(void)
{
    static const struct {
        const char *pattern;
        enum err_code code;
        const char *message;
    } cases[] = {
        {"", ERR_FORMAT, "empty"},
        {"(a", ERR_FORMAT, "fails at byte 2"},
        {"a\\", ERR_UNSUPPORTED, "'\\'"},
        {"\\w+", ERR_UNSUPPORTED, "'\\w'"},
        {"a\\h", ERR_UNSUPPORTED, "'\\h'"},
        {"\\x41", ERR_UNSUPPORTED, "'\\x'"},
        {"(a)\\1", ERR_UNSUPPORTED, "'\\1'"},
        {"\\p{Han}", ERR_UNSUPPORTED, "'\\p{Ha'"},
        {"\\pL", ERR_UNSUPPORTED, "'\\p'"},
        {"[\\S]", ERR_UNSUPPORTED, "'\\S'"},
        {"[a[b]]", ERR_UNSUPPORTED, "'['"},
        {"[a&&b]", ERR_UNSUPPORTED, "'&&'"},
        {"[]a]", ERR_UNSUPPORTED, "'[]'"},
        {"^a", ERR_UNSUPPORTED, "'^'"},
        {"a$", ERR_UNSUPPORTED, "'$'"},
        {"(?m:a)", ERR_UNSUPPORTED, "'(?m'"},
        {"(*UTF)a", ERR_UNSUPPORTED, "'(*'"},
        {"a{1,2}+", ERR_UNSUPPORTED, "'}+'"},
        {"a{,2}", ERR_UNSUPPORTED, "'{,'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        struct pre_tokenizer *pre_tokenizer = NULL;
        enum err_code code =
            pre_tokenizer_create(&pre_tokenizer, cases[i].pattern, NULL, 0, &err);
        if (code != cases[i].code || strstr(err.message, cases[i].message) == NULL)
            (void)fprintf(stderr, "%s: %d, %s\n", cases[i].pattern, (int)code,
                          err.message);
        CHECK(code == cases[i].code && strstr(err.message, cases[i].message) != NULL);
        CHECK(pre_tokenizer == NULL);
    }
    pre_tokenizer_destroy(NULL);
}

/* A regex that takes exponential time gives up; a visitor can end the run. */
static void check_ends(void)
{
    char text[200];
    struct err err = {0};
    struct pieces pieces = {.stop = 2};
    memset(text, 'a', sizeof(text));
    struct pre_tokenizer *pre_tokenizer = create("(?:a+|aa?)+b|x", 0);
    CHECK(pre_tokenizer_run(pre_tokenizer, text, sizeof(text), collect, &pieces, &err) ==
          ERR_INVALID);
    CHECK(strstr(err.message, "gives up at byte 0 of 200") != NULL);
    CHECK(pre_tokenizer_run(pre_tokenizer, "xxx", 3, collect, &pieces, &err) ==
          ERR_CANCELED);
    CHECK(strcmp(pieces.text, "x|") == 0);
    pre_tokenizer_destroy(pre_tokenizer);
}

/* 256 different characters, among them GPT-2's well-known stand-ins. */
static void check_symbols(void)
{
    static const struct {
        unsigned char byte;
        const char *symbol;
    } known[] = {
        {0x00, "\xC4\x80"}, {'\n', "\xC4\x8A"}, {' ', "\xC4\xA0"},  {'!', "!"},
        {'~', "~"},         {0x7F, "\xC4\xA1"}, {0xA0, "\xC5\x82"}, {0xA1, "\xC2\xA1"},
        {0xAD, "\xC5\x83"}, {0xFF, "\xC3\xBF"},
    };
    char symbols[256][3] = {{0}};
    for (unsigned i = 0; i < 256; i++) {
        size_t length = pre_tokenizer_symbol((unsigned char)i, symbols[i]);
        CHECK(length == strlen(symbols[i]));
        for (unsigned k = 0; k < i; k++)
            CHECK(strcmp(symbols[i], symbols[k]) != 0);
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        CHECK(strcmp(symbols[known[i].byte], known[i].symbol) == 0);
}

int main(void)
{
    check_pieces();
    check_refusals();
    check_ends();
    check_symbols();
    return 0;
}
