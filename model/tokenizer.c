#include "model/tokenizer.h"

#include "base/buf.h"
#include "base/size.h"
#include "base/text.h"
#include "model/byte_pairs.h"
#include "model/pre_tokenizer.h"
#include "model/vocabulary.h"

#include <jansson.h>

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOKENIZER_FILE_LIMIT = 64 * 1024 * 1024, /* bytes; Qwen3's has 11 million */
    CONFIG_FILE_LIMIT = 1024 * 1024,
    PROMPT_LIMIT = 512,     /* ids, diffusers' max_sequence_length for klein */
    TEXT_LIMIT = 16 * 1024, /* bytes; utf8proc orders n combining marks in O(n^2) */
};

struct tokenizer {
    struct pre_tokenizer *pre_tokenizer;
    struct byte_pairs *pairs;
    size_t limit, size;
    uint32_t pad;
};

/* klein's chat template around a prompt, and the tokens it is made of. */
static const char template_head[] = "<|im_start|>user\n";
static const char template_tail[] =
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
static const char *const template_tokens[] = {"<|im_start|>", "<|im_end|>", "<think>",
                                              "</think>"};

/* What a file has to say for the code to do the same as Hugging Face's. The last of a
 * list has no path. */
struct requirement {
    const char *path; /* member names and array indices */
    enum {
        IS_TEXT,  /* the string `text` */
        OR_UNSET, /* the same, or nothing at all */
        IS_KIND,  /* a value of the kind `text`, see kind_of */
        IS_OFF,   /* absent, null, false, zero or empty */
    } form;
    const char *text;
};

static const struct requirement tokenizer_requirements[] = {
    {"added_tokens", IS_KIND, "an array"},
    {"model.type", IS_TEXT, "BPE"},
    {"model.vocab", IS_KIND, "an object"},
    {"model.merges", IS_KIND, "an array"},
    {"model.dropout", IS_OFF, NULL},
    {"model.continuing_subword_prefix", IS_OFF, NULL},
    {"model.end_of_word_suffix", IS_OFF, NULL},
    {"model.ignore_merges", IS_OFF, NULL},
    {"normalizer.type", IS_TEXT, "NFC"},
    {"pre_tokenizer.type", IS_TEXT, "Sequence"},
    {"pre_tokenizer.pretokenizers.0.type", IS_TEXT, "Split"},
    {"pre_tokenizer.pretokenizers.0.pattern.Regex", IS_KIND, "a string"},
    {"pre_tokenizer.pretokenizers.0.behavior", IS_TEXT, "Isolated"},
    {"pre_tokenizer.pretokenizers.0.invert", IS_OFF, NULL},
    {"pre_tokenizer.pretokenizers.1.type", IS_TEXT, "ByteLevel"},
    {"pre_tokenizer.pretokenizers.1.add_prefix_space", IS_KIND, "false"},
    {"pre_tokenizer.pretokenizers.1.use_regex", IS_KIND, "false"}, /* absent is true */
    {"pre_tokenizer.pretokenizers.2", IS_OFF, NULL},
    /* A post-processor that adds no token: ByteLevel, or an empty template. */
    {"post_processor.processors", IS_OFF, NULL},
    {"post_processor.special_tokens", IS_OFF, NULL},
    {"post_processor.single.1", IS_OFF, NULL},
    {"post_processor.sep", IS_OFF, NULL},
    {NULL, IS_OFF, NULL},
};

static const struct requirement added_requirements[] = {
    {"content", IS_KIND, "a string"}, {"lstrip", IS_OFF, NULL}, {"rstrip", IS_OFF, NULL},
    {"single_word", IS_OFF, NULL},    {NULL, IS_OFF, NULL},
};

static const struct requirement config_requirements[] = {
    {"padding_side", OR_UNSET, "right"},
    {"truncation_side", OR_UNSET, "right"},
    {"add_prefix_space", IS_OFF, NULL},
    {"add_bos_token", IS_OFF, NULL},
    {"add_eos_token", IS_OFF, NULL},
    {"split_special_tokens", IS_OFF, NULL},
    {NULL, IS_OFF, NULL},
};

/* The value at a path such as "a.b.0", NULL when there is none. */
static json_t *json_at(json_t *value, const char *path)
{
    while (value != NULL && *path != '\0') {
        size_t length = strcspn(path, ".");
        if (json_is_array(value))
            value = json_array_get(value, strtoul(path, NULL, 10));
        else
            value = json_object_getn(value, path, length);
        path += length + (path[length] == '.');
    }
    return value;
}

static bool is_off(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0.0) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static const char *kind_of(const json_t *value)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",  [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return value == NULL ? "absent" : kinds[json_typeof(value)];
}

static bool is_met(const struct requirement *requirement, const json_t *value)
{
    if (requirement->form == IS_OFF)
        return is_off(value);
    if (requirement->form == IS_KIND)
        return strcmp(kind_of(value), requirement->text) == 0;
    if (requirement->form == OR_UNSET && (value == NULL || json_is_null(value)))
        return true;
    return json_is_string(value) &&
           strcmp(json_string_value(value), requirement->text) == 0;
}

static enum err_code
require(json_t *root, const struct requirement *requirement, struct err *err)
{
    for (; requirement->path != NULL; requirement++) {
        json_t *value = json_at(root, requirement->path);
        if (!is_met(requirement, value))
            return err_set(err, ERR_UNSUPPORTED,
                           "%s is %.64s, but only %s is implemented", requirement->path,
                           json_is_string(value) ? json_string_value(value)
                                                 : kind_of(value),
                           requirement->text != NULL ? requirement->text : "false");
    }
    return ERR_OK;
}

static enum err_code read_merges(struct byte_pairs **out,
                                 const struct vocabulary *vocabulary,
                                 json_t *root,
                                 struct err *err)
{
    uint32_t byte_ids[256];
    for (unsigned byte = 0; byte < 256; byte++) {
        char symbol[2];
        size_t length = pre_tokenizer_symbol((unsigned char)byte, symbol);
        if (!vocabulary_find(vocabulary, symbol, length, &byte_ids[byte]))
            return err_set(err, ERR_UNSUPPORTED,
                           "model.vocab is not byte-level: it lacks '%.*s', byte 0x%02X",
                           (int)length, symbol, byte);
    }
    json_t *merges = json_at(root, "model.merges"), *vocab = json_at(root, "model.vocab");
    enum err_code code = byte_pairs_create(out, byte_ids, json_array_size(merges),
                                           json_object_size(vocab), err);
    return code == ERR_OK ? byte_pairs_add_all(*out, vocabulary, merges, err) : code;
}

/* One of added_tokens, which also joins the vocabulary. Borrows from the JSON. */
static enum err_code read_added(struct added_token *out,
                                struct vocabulary *vocabulary,
                                json_t *value,
                                struct err *err)
{
    enum err_code code = require(value, added_requirements, err);
    if (code != ERR_OK)
        return code;
    const char *text = json_string_value(json_object_get(value, "content"));
    json_t *id = json_object_get(value, "id");
    code = vocabulary_add(vocabulary, text, strlen(text),
                          json_is_integer(id) ? json_integer_value(id) : -1, err);
    if (code != ERR_OK)
        return code;
    *out = (struct added_token){
        .text = text,
        .length = strlen(text),
        .id = (uint32_t)json_integer_value(id),
        .normalized = json_is_true(json_object_get(value, "normalized")),
    };
    return ERR_OK;
}

static bool is_added(const struct added_token *added, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(added[i].text, text) == 0)
            return true;
    }
    return false;
}

static enum err_code read_pre_tokenizer(struct pre_tokenizer **out,
                                        struct vocabulary *vocabulary,
                                        json_t *root,
                                        struct err *err)
{
    const char *pattern =
        json_string_value(json_at(root, "pre_tokenizer.pretokenizers.0.pattern.Regex"));
    json_t *list = json_at(root, "added_tokens");
    size_t count = json_array_size(list);
    struct added_token *added = calloc(size_max(count, 1), sizeof(*added));
    if (added == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %zu added tokens", count);

    enum err_code code = ERR_OK;
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        code = read_added(&added[i], vocabulary, json_array_get(list, i), err);
        if (code != ERR_OK)
            (void)err_prefix(err, code, "added_tokens[%zu]", i);
    }
    size_t needed = sizeof(template_tokens) / sizeof(template_tokens[0]);
    for (size_t i = 0; i < needed && code == ERR_OK; i++) {
        if (!is_added(added, count, template_tokens[i]))
            code = err_set(err, ERR_UNSUPPORTED,
                           "added_tokens lacks '%s', which the chat template needs",
                           template_tokens[i]);
    }
    if (code == ERR_OK)
        code = pre_tokenizer_create(out, pattern, added, count, err);
    free(added);
    return code;
}

/* tokenizer.json. The merges are read before the added tokens join the vocabulary:
 * they name tokens of model.vocab only. */
static enum err_code read_tokenizer(struct tokenizer *tokenizer,
                                    struct vocabulary **vocabulary,
                                    json_t *root,
                                    struct err *err)
{
    enum err_code code = require(root, tokenizer_requirements, err);
    if (code == ERR_OK)
        code = vocabulary_read(vocabulary, json_at(root, "model.vocab"),
                               json_at(root, "added_tokens"), err);
    if (code == ERR_OK)
        code = read_merges(&tokenizer->pairs, *vocabulary, root, err);
    if (code == ERR_OK)
        code = read_pre_tokenizer(&tokenizer->pre_tokenizer, *vocabulary, root, err);
    if (code == ERR_OK)
        tokenizer->size = vocabulary_size(*vocabulary);
    return code;
}

/* tokenizer_config.json. A token is named by its text or by an object that has it as
 * `content`. No model_max_length, or the 1e30 that stands for none, means no limit. */
static enum err_code read_config(struct tokenizer *tokenizer,
                                 struct vocabulary **vocabulary,
                                 json_t *root,
                                 struct err *err)
{
    enum err_code code = require(root, config_requirements, err);
    if (code != ERR_OK)
        return code;

    json_t *length = json_object_get(root, "model_max_length");
    bool unlimited = length == NULL || json_is_null(length);
    double limit = unlimited ? PROMPT_LIMIT : json_number_value(length);
    if (!(limit >= 1.0))
        return err_set(err, ERR_FORMAT, "model_max_length is %s, expected at least 1",
                       json_is_number(length) ? "too small" : kind_of(length));
    tokenizer->limit = limit < PROMPT_LIMIT ? (size_t)limit : PROMPT_LIMIT;

    json_t *pad = json_object_get(root, "pad_token");
    if (json_is_object(pad))
        pad = json_object_get(pad, "content");
    if (!json_is_string(pad))
        return err_set(err, ERR_FORMAT, "pad_token is %s, expected a token",
                       kind_of(pad));
    if (!vocabulary_find(*vocabulary, json_string_value(pad), json_string_length(pad),
                         &tokenizer->pad))
        return err_set(err, ERR_FORMAT, "pad_token '%.64s' is no token of tokenizer.json",
                       json_string_value(pad));
    return ERR_OK;
}

/* The files of a tokenizer folder, in the order in which they need each other. */
static const struct part {
    const char *name;
    size_t limit; /* bytes */
    size_t flags; /* of jansson; integers of any size may be a model_max_length */
    enum err_code (*read)(struct tokenizer *tokenizer,
                          struct vocabulary **vocabulary,
                          json_t *root,
                          struct err *err);
} parts[] = {
    {"tokenizer.json", TOKENIZER_FILE_LIMIT, JSON_REJECT_DUPLICATES, read_tokenizer},
    {"tokenizer_config.json", CONFIG_FILE_LIMIT,
     JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, read_config},
};

static enum err_code read_part(struct tokenizer *tokenizer,
                               struct vocabulary **vocabulary,
                               const char *folder,
                               const struct part *part,
                               struct err *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", folder, part->name);
    if (n < 0 || (size_t)n >= sizeof(path))
        return err_set(err, ERR_INVALID, "%.64s...: the path is too long", folder);
    char *text = NULL;
    size_t length = 0;
    enum err_code code = text_read_file(&text, &length, path, part->limit, err);
    if (code != ERR_OK)
        return code;

    json_error_t problem;
    json_t *root = json_loadb(text, length, part->flags, &problem);
    free(text);
    if (root == NULL)
        return err_set(err,
                       json_error_code(&problem) == json_error_out_of_memory
                           ? ERR_NO_MEMORY
                           : ERR_FORMAT,
                       "%s: line %d, column %d: %s", path, problem.line, problem.column,
                       problem.text);
    code = part->read(tokenizer, vocabulary, root, err);
    json_decref(root);
    return code == ERR_OK ? ERR_OK : err_prefix(err, code, "%s", path);
}

enum err_code tokenizer_open(struct tokenizer **out, const char *folder, struct err *err)
{
    struct tokenizer *tokenizer = calloc(1, sizeof(*tokenizer));
    if (tokenizer == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory for a tokenizer", folder);
    struct vocabulary *vocabulary = NULL;
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && code == ERR_OK; i++)
        code = read_part(tokenizer, &vocabulary, folder, &parts[i], err);
    vocabulary_destroy(vocabulary);
    if (code != ERR_OK) {
        tokenizer_destroy(tokenizer);
        return code;
    }
    *out = tokenizer;
    return ERR_OK;
}

void tokenizer_destroy(struct tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    pre_tokenizer_destroy(tokenizer->pre_tokenizer);
    byte_pairs_destroy(tokenizer->pairs);
    free(tokenizer);
}

size_t tokenizer_limit(const struct tokenizer *tokenizer)
{
    return tokenizer->limit;
}

size_t tokenizer_vocabulary_size(const struct tokenizer *tokenizer)
{
    return tokenizer->size;
}

struct encoding {
    const struct byte_pairs *pairs;
    struct byte_pairs_work work;
    uint32_t *ids;
    size_t limit, total;
};

static enum err_code
add_pre_token(void *context, const struct pre_token *token, struct err *err)
{
    struct encoding *encoding = context;
    const uint32_t *ids = &token->id;
    size_t count = 1;
    if (token->text != NULL) {
        enum err_code code = byte_pairs_encode(encoding->pairs, &encoding->work,
                                               token->text, token->length, err);
        if (code != ERR_OK)
            return code;
        ids = encoding->work.ids;
        count = encoding->work.count;
    }
    for (size_t i = 0; i < count; i++, encoding->total++) {
        if (encoding->total < encoding->limit)
            encoding->ids[encoding->total] = ids[i];
    }
    return ERR_OK;
}

enum err_code tokenizer_encode(const struct tokenizer *tokenizer,
                               const char *text,
                               size_t length,
                               struct token_ids *out,
                               struct err *err)
{
    if (length > TEXT_LIMIT)
        return err_set(err, ERR_INVALID, "a text of %zu bytes, expected at most %d",
                       length, TEXT_LIMIT);
    if (!text_is_utf8(text, length, NULL))
        return err_set(err, ERR_INVALID, "the text is not UTF-8");
    struct encoding encoding = {
        .pairs = tokenizer->pairs, .ids = out->ids, .limit = out->room};
    enum err_code code = pre_tokenizer_run(tokenizer->pre_tokenizer, text, length,
                                           add_pre_token, &encoding, err);
    byte_pairs_work_finish(&encoding.work);
    if (code != ERR_OK)
        return code;
    out->used = size_min(encoding.total, out->room);
    out->total = encoding.total;
    return ERR_OK;
}

enum err_code tokenizer_encode_prompt(const struct tokenizer *tokenizer,
                                      const char *prompt,
                                      size_t length,
                                      struct token_ids *out,
                                      struct err *err)
{
    struct token_ids cut = {.ids = out->ids, .room = tokenizer->limit};
    assert(out->room >= tokenizer->limit);
    struct buf text;
    buf_init(&text, size_add(length, sizeof(template_head) + sizeof(template_tail)));
    (void)buf_append(&text, template_head, sizeof(template_head) - 1);
    (void)buf_append(&text, prompt, length);
    (void)buf_append(&text, template_tail, sizeof(template_tail) - 1);
    enum err_code code =
        text.failed
            ? err_set(err, ERR_NO_MEMORY, "no memory for a prompt of %zu bytes", length)
            : tokenizer_encode(tokenizer, text.data, text.length, &cut, err);
    buf_finish(&text);
    if (code != ERR_OK)
        return code;
    for (size_t i = cut.used; i < tokenizer->limit; i++)
        out->ids[i] = tokenizer->pad;
    out->used = cut.used;
    out->total = cut.total;
    return ERR_OK;
}
