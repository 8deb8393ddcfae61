/* The house tokenizer against transformers' ids (tests/golden/tokenizer_cases.py), and
 * what tokenizer_open refuses: the house's files with one value changed. */
#include "base/size.h"
#include "model/tokenizer.h"
#include "tests/check.h"

#include <jansson.h>

#include <string.h>
#include <unistd.h>

enum {
    FOLDER_SIZE = 512,
    PATH_SIZE = FOLDER_SIZE + 64,
    MOST_IDS = 16384,
    SENTINEL = 0x5EA1ED
};

static const char house[] = SLUICE_SOURCE_DIR "/model/house/tokenizer";
static const char golden[] = SLUICE_SOURCE_DIR "/tests/golden/tokenizer/cases.json";
static const char *const files[] = {"tokenizer.json", "tokenizer_config.json"};

static struct tokenizer *open_folder(const char *folder)
{
    struct err err;
    struct tokenizer *tokenizer = NULL;
    CHECK_OK(tokenizer_open(&tokenizer, folder, &err), err);
    return tokenizer;
}

static void
check_ids(const json_t *expected, const uint32_t *ids, size_t count, const char *what)
{
    if (json_array_size(expected) != count)
        (void)fprintf(stderr, "%s: %zu ids, expected %zu\n", what, count,
                      json_array_size(expected));
    CHECK(json_array_size(expected) == count);
    for (size_t i = 0; i < count; i++) {
        json_int_t id = json_integer_value(json_array_get(expected, i));
        if (ids[i] != id)
            (void)fprintf(stderr, "%s: id %zu is %lu, expected %lld\n", what, i,
                          (unsigned long)ids[i], (long long)id);
        CHECK(ids[i] == id);
    }
}

static void check_case(const struct tokenizer *tokenizer, const json_t *value)
{
    static uint32_t ids[MOST_IDS];
    const json_t *text = json_object_get(value, "text");
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text), limit = tokenizer_limit(tokenizer);
    struct token_ids out = {.ids = ids, .room = MOST_IDS};
    struct err err;
    CHECK_OK(tokenizer_encode(tokenizer, bytes, length, &out, &err), err);
    CHECK(out.used == out.total);
    check_ids(json_object_get(value, "ids"), ids, out.total, bytes);

    ids[limit] = SENTINEL;
    CHECK_OK(tokenizer_encode_prompt(tokenizer, bytes, length, &out, &err), err);
    CHECK(ids[limit] == SENTINEL);
    check_ids(json_object_get(value, "prompt"), ids, limit, bytes);
    CHECK((json_int_t)out.used == json_integer_value(json_object_get(value, "used")));
    CHECK((json_int_t)out.total == json_integer_value(json_object_get(value, "total")));
}

static void check_golden(const struct tokenizer *tokenizer)
{
    json_t *root = json_load_file(golden, JSON_ALLOW_NUL, NULL);
    const json_t *cases = json_object_get(root, "cases");
    CHECK(json_array_size(cases) >= 120);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(tokenizer, json_array_get(cases, i));
    CHECK(tokenizer_limit(tokenizer) ==
          (size_t)json_integer_value(json_object_get(root, "limit")));
    CHECK(tokenizer_vocabulary_size(tokenizer) ==
          (size_t)json_integer_value(json_object_get(root, "size")));
    json_decref(root);
}

static void check_edges(const struct tokenizer *tokenizer)
{
    static const char *const broken[] = {"\xFF", "a\xC3", "\xED\xA0\x80", "\xC0\x80"};
    static char large[64 * 1024];
    uint32_t ids[64], few[4] = {0, 0, 0, SENTINEL};
    struct token_ids out = {.ids = ids, .room = 64, .used = 98, .total = 99};
    struct err err = {0};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        CHECK(tokenizer_encode_prompt(tokenizer, broken[i], strlen(broken[i]), &out,
                                      &err) == ERR_INVALID);
        CHECK(strstr(err.message, "UTF-8") != NULL);
    }
    memset(large, 'a', sizeof(large));
    CHECK(tokenizer_encode(tokenizer, large, sizeof(large), &out, &err) == ERR_INVALID);
    CHECK(tokenizer_encode_prompt(tokenizer, large, sizeof(large), &out, &err) ==
          ERR_INVALID);
    CHECK(out.used == 98 && out.total == 99);

    /* No more is written than there is room for. */
    struct token_ids cut = {.ids = few, .room = 3}, none = {.room = 0};
    CHECK_OK(tokenizer_encode(tokenizer, "1234567", 7, &out, &err), err);
    CHECK_OK(tokenizer_encode(tokenizer, "1234567", 7, &cut, &err), err);
    CHECK_OK(tokenizer_encode(tokenizer, "1234567", 7, &none, &err), err);
    CHECK(out.used == 7 && cut.used == 3 && none.used == 0);
    CHECK(out.total == 7 && cut.total == 7 && none.total == 7);
    CHECK(memcmp(ids, few, 3 * sizeof(few[0])) == 0 && few[3] == SENTINEL);
}

/* One value of the house's files, changed. */
struct change {
    unsigned file;     /* of files */
    const char *path;  /* member names and indices; NULL: the file itself */
    const char *value; /* JSON, or the file's text; NULL: taken out */
    const char *message;
};

static void change_value(json_t *root, const char *path, const char *value)
{
    char name[64];
    json_t *new = value == NULL ? NULL : json_loads(value, JSON_DECODE_ANY, NULL);
    CHECK(value == NULL || new != NULL);
    for (;;) {
        size_t length = strcspn(path, "/");
        CHECK(length < sizeof(name));
        memcpy(name, path, length);
        name[length] = '\0';
        if (path[length] == '\0')
            break;
        root = json_is_array(root) ? json_array_get(root, strtoul(name, NULL, 10))
                                   : json_object_get(root, name);
        path += length + 1;
    }
    if (json_is_array(root)) {
        size_t at = strtoul(name, NULL, 10);
        CHECK((new == NULL ? json_array_remove(root, at)
                           : json_array_insert_new(root, at, new)) == 0);
        CHECK(new == NULL || json_array_remove(root, at + 1) == 0);
    } else {
        CHECK((new == NULL ? json_object_del(root, name)
                           : json_object_set_new(root, name, new)) == 0);
    }
}

static void write_file(const char *folder, unsigned file, const struct change *change)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    (void)snprintf(from, sizeof(from), "%s/%s", house, files[file]);
    (void)snprintf(to, sizeof(to), "%s/%s", folder, files[file]);
    json_t *root = json_load_file(from, 0, NULL);
    CHECK(root != NULL);
    if (change->file == file && change->path == NULL) {
        FILE *out = change->value == NULL ? NULL : fopen(to, "w");
        if (out != NULL)
            CHECK(fputs(change->value, out) >= 0 && fclose(out) == 0);
    } else {
        if (change->file == file)
            change_value(root, change->path, change->value);
        CHECK(json_dump_file(root, to, JSON_COMPACT) == 0);
    }
    json_decref(root);
}

static void make_folder(char folder[FOLDER_SIZE], const struct change *change)
{
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(folder, FOLDER_SIZE, "%s/tokenizer.XXXXXX",
                   temporary != NULL ? temporary : "/tmp");
    CHECK(mkdtemp(folder) != NULL);
    for (unsigned file = 0; file < 2; file++)
        write_file(folder, file, change);
}

static void remove_folder(const char *folder)
{
    for (unsigned file = 0; file < 2; file++) {
        char path[PATH_SIZE];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, files[file]);
        (void)unlink(path);
    }
    CHECK(rmdir(folder) == 0);
}

static const struct change refused[] = {
    {0, NULL, NULL, "No such file"},
    {0, NULL, "", "line 1, column 0"},
    {0, NULL, "[]", "added_tokens is absent"},
    {0, NULL, "{\"model\": 1, \"model\": 2}", "duplicate object key"},
    {0, "model/type", "\"WordPiece\"", "model.type is WordPiece, but only BPE"},
    {0, "model/dropout", "0.1", "model.dropout is a number"},
    {0, "model/continuing_subword_prefix", "\"##\"", "continuing_subword_prefix is ##"},
    {0, "model/end_of_word_suffix", "\"</w>\"", "end_of_word_suffix is </w>"},
    {0, "model/ignore_merges", "true", "model.ignore_merges is true"},
    {0, "model/vocab", "3", "model.vocab is a number"},
    {0, "model/vocab/!", NULL, "it lacks '!', byte 0x21"},
    {0, "model/vocab/!", "-1", "model.vocab: the id of '!'"},
    {0, "model/vocab/!", "0.5", "model.vocab: the id of '!'"},
    {0, "model/vocab/!", "\"0\"", "model.vocab: the id of '!'"},
    {0, "model/vocab/!", "9999999999999", "model.vocab: the id of '!'"},
    {0, "model/vocab/", "5", "model.vocab: a token has no text"},
    {0, "model/merges", NULL, "model.merges is absent"},
    {0, "model/merges/7", "3", "model.merges[7]: expected"},
    {0, "model/merges/7", "\"ab\"", "model.merges[7]: expected"},
    {0, "model/merges/7", "\"a b c\"", "model.merges[7]: expected"},
    {0, "model/merges/7", "[\"a\"]", "model.merges[7]: expected"},
    {0, "model/merges/7", "[\"a\", 1]", "model.merges[7]: expected"},
    {0, "model/merges/7", "\"! zz\"", "model.merges[7]: '!' and 'zz'"},
    {0, "normalizer", "null", "normalizer.type is absent"},
    {0, "normalizer/type", "\"NFKC\"", "normalizer.type is NFKC"},
    {0, "pre_tokenizer/type", "\"Whitespace\"", "pre_tokenizer.type is Whitespace"},
    {0, "pre_tokenizer/pretokenizers/0/behavior", "\"Removed\"", "is Removed"},
    {0, "pre_tokenizer/pretokenizers/0/invert", "true", "0.invert is true"},
    {0, "pre_tokenizer/pretokenizers/0/pattern", "{\"String\": \" \"}",
     "pattern.Regex is absent"},
    {0, "pre_tokenizer/pretokenizers/0/pattern/Regex", "\"\\\\w+\"", "construct '\\w'"},
    {0, "pre_tokenizer/pretokenizers/1/add_prefix_space", "true", "is true"},
    {0, "pre_tokenizer/pretokenizers/1/use_regex", NULL, "1.use_regex is absent"},
    {0, "post_processor/special_tokens", "{\"<s>\": {}}", "special_tokens is an object"},
    {0, "padding", "{\"direction\": \"Left\"}", "padding.direction is Left, but only"},
    {0, "truncation", "{\"direction\": \"Left\"}", "truncation.direction is Left"},
    {0, "added_tokens/1", NULL, "added_tokens lacks '<|im_start|>'"},
    {0, "added_tokens/3/content", "\"<thought>\"", "added_tokens lacks '<think>'"},
    {0, "added_tokens/2/lstrip", "true", "added_tokens[2]: lstrip is true"},
    {0, "added_tokens/2/rstrip", "true", "added_tokens[2]: rstrip is true"},
    {0, "added_tokens/2/single_word", "true", "added_tokens[2]: single_word is true"},
    {0, "added_tokens/2/content", "null", "added_tokens[2]: content is null"},
    {0, "added_tokens/2/content", "\"\"", "added_tokens[2]: a token has no text"},
    {0, "added_tokens/2/content", "\"!\"", "added_tokens[2]: '!' has two ids"},
    {0, "added_tokens/2", "[\"\"]", "added_tokens[2]: content is absent"},
    {0, "added_tokens/2/id", NULL, "added_tokens[2]: the id of '<|im_end|>'"},
    {1, NULL, NULL, "No such file"},
    {1, NULL, "{", "line 1, column 1"},
    {1, "padding_side", "\"left\"", "padding_side is left, but only right"},
    {1, "truncation_side", "\"left\"", "truncation_side is left"},
    {1, "add_prefix_space", "true", "add_prefix_space is true"},
    {1, "add_bos_token", "true", "add_bos_token is true"},
    {1, "split_special_tokens", "true", "split_special_tokens is true"},
    {1, "chat_template", "[]", "chat_template is an array, but only a string"},
    {1, "chat_template", "\"<|im_start|>user\\n\"",
     "chat_template: the chat template lacks"},
    {1, "model_max_length", "0", "model_max_length is too small"},
    {1, "model_max_length", "\"32\"", "model_max_length is a string"},
    {1, "pad_token", "null", "pad_token is null"},
    {1, "pad_token", "\"<pad>\"", "pad_token '<pad>' is no token"},
};

static void check_refusals(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char folder[FOLDER_SIZE], path[PATH_SIZE];
        struct err err = {0};
        struct tokenizer *tokenizer = NULL;
        make_folder(folder, &refused[i]);
        enum err_code code = tokenizer_open(&tokenizer, folder, &err);
        remove_folder(folder);
        if (strstr(err.message, refused[i].message) == NULL)
            (void)fprintf(stderr, "%s: '%s', expected '%s'\n",
                          refused[i].path != NULL ? refused[i].path : "", err.message,
                          refused[i].message);
        CHECK(code != ERR_OK && code == err.code && tokenizer == NULL);
        CHECK(strstr(err.message, refused[i].message) != NULL);
        (void)snprintf(path, sizeof(path), "%s/%s: ", folder, files[refused[i].file]);
        CHECK(strncmp(err.message, path, strlen(path)) == 0);
    }
}

/* Other ways to say the same, and other values that are right. */
static void check_variants(void)
{
    static const struct {
        struct change change;
        size_t limit;
    } variants[] = {
        {{0, "post_processor", "null", NULL}, 32},
        {{0, "post_processor", "{\"type\": \"ByteLevel\"}", NULL}, 32},
        {{0, "added_tokens/3/special", "false", NULL}, 32},
        {{0, "model/dropout", "0.0", NULL}, 32},
        {{1, "pad_token", "{\"content\": \"<|endoftext|>\"}", NULL}, 32},
        {{1, "model_max_length", NULL, NULL}, 512},
        {{1, "model_max_length", "131072", NULL}, 512},
        {{1, NULL,
          "{\"model_max_length\": 1000000000000000019884624838656, "
          "\"pad_token\": \"<|endoftext|>\"}",
          NULL},
         512},
        {{1, "model_max_length", "1", NULL}, 1},
    };
    static const char text[] = "It's a cat<think>\n\n grinning";
    struct tokenizer *usual = open_folder(house);
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        char folder[FOLDER_SIZE];
        uint32_t ids[64], other_ids[512];
        struct token_ids expected = {.ids = ids, .room = 64};
        struct token_ids out = {.ids = other_ids, .room = 512};
        struct err err;
        make_folder(folder, &variants[i].change);
        struct tokenizer *tokenizer = open_folder(folder);
        remove_folder(folder);
        CHECK(tokenizer_limit(tokenizer) == variants[i].limit);
        CHECK_OK(tokenizer_encode(usual, text, strlen(text), &expected, &err), err);
        CHECK_OK(tokenizer_encode(tokenizer, text, strlen(text), &out, &err), err);
        CHECK(out.total == expected.total && out.used == expected.used);
        CHECK(memcmp(other_ids, ids, out.used * sizeof(ids[0])) == 0);
        CHECK_OK(tokenizer_encode_prompt(tokenizer, text, strlen(text), &out, &err), err);
        CHECK(out.used == size_min(out.total, variants[i].limit));
        for (size_t k = out.used; k < variants[i].limit; k++)
            CHECK(other_ids[k] == other_ids[variants[i].limit - 1]);
        tokenizer_destroy(tokenizer);
    }
    tokenizer_destroy(usual);
}

/* The merges as older files have them: "left right". */
static void check_merge_strings(void)
{
    char folder[FOLDER_SIZE], path[PATH_SIZE];
    make_folder(folder, &(struct change){.file = 1, .path = "unused", .value = "0"});
    (void)snprintf(path, sizeof(path), "%s/%s", folder, files[0]);
    json_t *root = json_load_file(path, 0, NULL);
    json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    CHECK(json_array_size(merges) > 0);
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *pair = json_array_get(merges, i);
        json_t *text = json_sprintf("%s %s", json_string_value(json_array_get(pair, 0)),
                                    json_string_value(json_array_get(pair, 1)));
        CHECK(json_array_set_new(merges, i, text) == 0);
    }
    CHECK(json_dump_file(root, path, JSON_COMPACT) == 0);
    json_decref(root);
    struct tokenizer *tokenizer = open_folder(folder);
    remove_folder(folder);
    check_golden(tokenizer);
    tokenizer_destroy(tokenizer);
}

int main(void)
{
    struct tokenizer *tokenizer = open_folder(house);
    check_golden(tokenizer);
    check_edges(tokenizer);
    tokenizer_destroy(tokenizer);
    tokenizer_destroy(NULL);
    check_refusals();
    check_variants();
    check_merge_strings();
    return 0;
}
