#include "model/vocabulary.h"

#include "base/size.h"
#include "model/hash.h"

#include <jansson.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    uint32_t offset, length; /* of the text in the block; length 0: the slot is empty */
    uint32_t id;
};

struct vocabulary {
    char *block;
    struct slot *slots;
    size_t slot_count, token_limit, block_size;
    size_t tokens, used; /* of token_limit, of block_size */
    size_t size;
};

enum err_code
vocabulary_create(struct vocabulary **out, size_t tokens, size_t bytes, struct err *err)
{
    if (tokens > UINT32_MAX || bytes > UINT32_MAX)
        return err_set(err, ERR_UNSUPPORTED,
                       "%zu tokens of %zu bytes, expected at most %lu of each", tokens,
                       bytes, (unsigned long)UINT32_MAX);
    struct vocabulary *vocabulary = calloc(1, sizeof(*vocabulary));
    if (vocabulary == NULL)
        goto fail;
    vocabulary->slot_count = hash_slots(tokens);
    vocabulary->token_limit = tokens;
    vocabulary->block_size = bytes;
    vocabulary->slots = calloc(vocabulary->slot_count, sizeof(*vocabulary->slots));
    vocabulary->block = malloc(size_max(bytes, 1));
    if (vocabulary->slots == NULL || vocabulary->block == NULL)
        goto fail;
    *out = vocabulary;
    return ERR_OK;

fail:
    vocabulary_destroy(vocabulary);
    return err_set(err, ERR_NO_MEMORY, "no memory for a vocabulary of %zu tokens",
                   tokens);
}

void vocabulary_destroy(struct vocabulary *vocabulary)
{
    if (vocabulary == NULL)
        return;
    free(vocabulary->block);
    free(vocabulary->slots);
    free(vocabulary);
}

/* The slot of the text, or the empty one where it belongs. */
static struct slot *
find_slot(const struct vocabulary *vocabulary, const char *text, size_t length)
{
    size_t mask = vocabulary->slot_count - 1;
    size_t at = (size_t)hash_bytes(text, length) & mask;
    for (;; at = (at + 1) & mask) {
        struct slot *slot = &vocabulary->slots[at];
        if (slot->length == 0 ||
            (slot->length == length &&
             memcmp(vocabulary->block + slot->offset, text, length) == 0))
            return slot;
    }
}

enum err_code vocabulary_add(struct vocabulary *vocabulary,
                             const char *text,
                             size_t length,
                             int64_t id,
                             struct err *err)
{
    if (length == 0)
        return err_set(err, ERR_FORMAT, "a token has no text");
    if (id < 0 || id >= VOCABULARY_ID_LIMIT)
        return err_set(err, ERR_FORMAT, "the id of '%.*s' is no integer from 0 to %d",
                       (int)size_min(length, 64), text, VOCABULARY_ID_LIMIT - 1);
    struct slot *slot = find_slot(vocabulary, text, length);
    if (slot->length != 0 && slot->id != id)
        return err_set(err, ERR_FORMAT, "'%.*s' has two ids, %lu and %lu",
                       (int)size_min(length, 64), text, (unsigned long)slot->id,
                       (unsigned long)id);
    if (slot->length != 0)
        return ERR_OK;

    assert(vocabulary->tokens < vocabulary->token_limit);
    assert(length <= vocabulary->block_size - vocabulary->used);
    memcpy(vocabulary->block + vocabulary->used, text, length);
    *slot = (struct slot){.offset = (uint32_t)vocabulary->used,
                          .length = (uint32_t)length,
                          .id = (uint32_t)id};
    vocabulary->used += length;
    vocabulary->tokens++;
    vocabulary->size = size_max(vocabulary->size, (size_t)id + 1);
    return ERR_OK;
}

enum err_code vocabulary_read(struct vocabulary **out,
                              struct json_t *vocab,
                              const struct json_t *added,
                              struct err *err)
{
    const char *text = NULL;
    json_t *value = NULL;
    size_t bytes = 0;
    json_object_foreach(vocab, text, value) bytes += strlen(text);
    for (size_t i = 0; i < json_array_size(added); i++)
        bytes += json_string_length(json_object_get(json_array_get(added, i), "content"));

    struct vocabulary *vocabulary = NULL;
    enum err_code code = vocabulary_create(
        &vocabulary, json_object_size(vocab) + json_array_size(added), bytes, err);
    if (vocabulary == NULL)
        return code;
    json_object_foreach(vocab, text, value)
    {
        if (code == ERR_OK)
            code = vocabulary_add(vocabulary, text, strlen(text),
                                  json_is_integer(value) ? json_integer_value(value) : -1,
                                  err);
    }
    if (code != ERR_OK) {
        vocabulary_destroy(vocabulary);
        return err_prefix(err, code, "model.vocab");
    }
    *out = vocabulary;
    return ERR_OK;
}

bool vocabulary_find(const struct vocabulary *vocabulary,
                     const char *text,
                     size_t length,
                     uint32_t *id)
{
    const struct slot *slot = find_slot(vocabulary, text, length);
    if (length == 0 || slot->length == 0)
        return false;
    *id = slot->id;
    return true;
}

size_t vocabulary_size(const struct vocabulary *vocabulary)
{
    return vocabulary->size;
}
