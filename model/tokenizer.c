#include "model/tokenizer.h"

#include "base/buf.h"
#include "base/size.h"
#include "base/text.h"
#include "model/byte_pairs.h"
#include "model/chat_template.h"
#include "model/pre_tokenizer.h"
#include "model/requirement.h"
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

/* What is known while a folder is read. */
struct reading {
    struct tokenizer *tokenizer;
    struct vocabulary *vocabulary;
    bool has_template_file; /* it goes before tokenizer_config.json's chat_template */
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
    {"padding.direction", OR_UNSET, "Right"},
    {"truncation.direction", OR_UNSET, "Right"},
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
    json_t *merges = requirement_value(root, "model.merges"),
           *vocab = requirement_value(root, "model.vocab");
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
    enum err_code code = requirement_check(value, added_requirements, err);
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
    const char *pattern = json_string_value(
        requirement_value(root, "pre_tokenizer.pretokenizers.0.pattern.Regex"));
    json_t *list = requirement_value(root, "added_tokens");
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
    const char *needed;
    for (size_t i = 0; code == ERR_OK && (needed = chat_template_token(i)) != NULL; i++) {
        if (!is_added(added, count, needed))
            code =
                err_set(err, ERR_UNSUPPORTED,
                        "added_tokens lacks '%s', which the chat template needs", needed);
    }
    if (code == ERR_OK)
        code = pre_tokenizer_create(out, pattern, added, count, err);
    free(added);
    return code;
}

/* tokenizer.json. The merges are read before the added tokens join the vocabulary:
 * they name tokens of model.vocab only. */
static enum err_code
read_tokenizer(struct reading *reading, json_t *root, struct err *err)
{
    struct tokenizer *tokenizer = reading->tokenizer;
    enum err_code code = requirement_check(root, tokenizer_requirements, err);
    if (code == ERR_OK)
        code =
            vocabulary_read(&reading->vocabulary, requirement_value(root, "model.vocab"),
                            requirement_value(root, "added_tokens"), err);
    if (code == ERR_OK)
        code = read_merges(&tokenizer->pairs, reading->vocabulary, root, err);
    if (code == ERR_OK)
        code =
            read_pre_tokenizer(&tokenizer->pre_tokenizer, reading->vocabulary, root, err);
    if (code == ERR_OK)
        tokenizer->size = vocabulary_size(reading->vocabulary);
    return code;
}

/* Files of before chat_template.jinja have the template in tokenizer_config.json; one
 * without any is filled in by the caller of transformers, and by klein's form here. */
static enum err_code
read_template(const struct reading *reading, json_t *root, struct err *err)
{
    json_t *source = json_object_get(root, "chat_template");
    if (reading->has_template_file || source == NULL || json_is_null(source))
        return ERR_OK;
    if (!json_is_string(source))
        return err_set(err, ERR_UNSUPPORTED,
                       "chat_template is %s, but only a string is implemented",
                       requirement_kind(source));
    enum err_code code = chat_template_check(json_string_value(source), err);
    return code == ERR_OK ? ERR_OK : err_prefix(err, code, "chat_template");
}

/* No model_max_length, or the 1e30 that stands for none, means no limit. */
static enum err_code
read_limit(struct tokenizer *tokenizer, json_t *root, struct err *err)
{
    json_t *length = json_object_get(root, "model_max_length");
    bool unlimited = length == NULL || json_is_null(length);
    double limit = unlimited ? PROMPT_LIMIT : json_number_value(length);
    if (!(limit >= 1.0))
        return err_set(err, ERR_FORMAT, "model_max_length is %s, expected at least 1",
                       json_is_number(length) ? "too small" : requirement_kind(length));
    tokenizer->limit = limit < PROMPT_LIMIT ? (size_t)limit : PROMPT_LIMIT;
    return ERR_OK;
}

/* A token is named by its text or by an object that has it as `content`. */
static enum err_code
read_padding(const struct reading *reading, json_t *root, struct err *err)
{
    json_t *pad = json_object_get(root, "pad_token");
    if (json_is_object(pad))
        pad = json_object_get(pad, "content");
    if (!json_is_string(pad))
        return err_set(err, ERR_FORMAT, "pad_token is %s, expected a token",
                       requirement_kind(pad));
    if (!vocabulary_find(reading->vocabulary, json_string_value(pad),
                         json_string_length(pad), &reading->tokenizer->pad))
        return err_set(err, ERR_FORMAT, "pad_token '%.64s' is no token of tokenizer.json",
                       json_string_value(pad));
    return ERR_OK;
}

/* tokenizer_config.json. */
static enum err_code read_config(struct reading *reading, json_t *root, struct err *err)
{
    enum err_code code = requirement_check(root, config_requirements, err);
    if (code == ERR_OK)
        code = read_template(reading, root, err);
    if (code == ERR_OK)
        code = read_limit(reading->tokenizer, root, err);
    return code == ERR_OK ? read_padding(reading, root, err) : code;
}

/* The files of a tokenizer folder, in the order in which they need each other. */
static const struct part {
    const char *name;
    size_t limit; /* bytes */
    size_t flags; /* of jansson; integers of any size may be a model_max_length */
    enum err_code (*read)(struct reading *reading, json_t *root, struct err *err);
} parts[] = {
    {"tokenizer.json", TOKENIZER_FILE_LIMIT, JSON_REJECT_DUPLICATES, read_tokenizer},
    {"tokenizer_config.json", CONFIG_FILE_LIMIT,
     JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, read_config},
};

static enum err_code read_part(struct reading *reading,
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
    code = part->read(reading, root, err);
    json_decref(root);
    return code == ERR_OK ? ERR_OK : err_prefix(err, code, "%s", path);
}

enum err_code tokenizer_open(struct tokenizer **out, const char *folder, struct err *err)
{
    struct tokenizer *tokenizer = calloc(1, sizeof(*tokenizer));
    if (tokenizer == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory for a tokenizer", folder);
    struct reading reading = {.tokenizer = tokenizer};
    enum err_code code = chat_template_check_file(folder, err);
    reading.has_template_file = code == ERR_OK;
    if (code == ERR_NOT_FOUND)
        code = ERR_OK;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && code == ERR_OK; i++)
        code = read_part(&reading, folder, &parts[i], err);
    vocabulary_destroy(reading.vocabulary);
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
    chat_template_apply(&text, prompt, length);
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
