/*
 * vocabulary - the id of every token's text.
 *
 * Needed while a tokenizer is opened (merges, added tokens and the pad token are named
 * by their texts in the files); encoding works on ids alone.
 *
 * Threads: one at a time until the last vocabulary_add, then any number may read.
 * Ownership: new from vocabulary_create or vocabulary_read, freed by vocabulary_destroy;
 * the texts are copied into one block.
 */
#ifndef SLUICE_MODEL_VOCABULARY_H
#define SLUICE_MODEL_VOCABULARY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vocabulary;
struct json_t;

/* Ids are below this, which no embedding comes near. */
enum { VOCABULARY_ID_LIMIT = 16 * 1024 * 1024 };

/* Room for `tokens` texts of `bytes` bytes together; at most 4 GiB - 1 of each. */
enum err_code
vocabulary_create(struct vocabulary **out, size_t tokens, size_t bytes, struct err *err);
void vocabulary_destroy(struct vocabulary *vocabulary);

/* Adding a text again with its own id changes nothing. ERR_FORMAT for an empty text, for
 * one that has another id and for an id out of range. The caller keeps to the room it
 * asked for. */
enum err_code vocabulary_add(struct vocabulary *vocabulary,
                             const char *text,
                             size_t length,
                             int64_t id,
                             struct err *err);

/* A vocabulary of tokenizer.json's model.vocab (an object of ids by text) with room for
 * the array added_tokens, which the caller adds. */
enum err_code vocabulary_read(struct vocabulary **out,
                              struct json_t *vocab,
                              const struct json_t *added,
                              struct err *err);

/* False, with *id untouched, when the text is no token. */
bool vocabulary_find(const struct vocabulary *vocabulary,
                     const char *text,
                     size_t length,
                     uint32_t *id);

/* One more than the largest id, 0 while empty. */
size_t vocabulary_size(const struct vocabulary *vocabulary);

#endif
