/*
 * tokenizer - prompts to token ids: byte-level BPE as Qwen2 has it, read from a model's
 * tokenizer/tokenizer.json.
 *
 * The order of work is that of Hugging Face's tokenizers (docs: "The tokenization
 * pipeline"): added tokens are cut out of the raw text first (leftmost, longest), the
 * rest is NFC-normalised, split by the pre-tokenizer's regex, mapped byte by byte to
 * the printable alphabet of GPT-2, and merged by rank.
 *
 * Threads: constant after tokenizer_open; any number may encode at once. Ownership: new
 * from tokenizer_open, freed by tokenizer_destroy.
 */
#ifndef SLUICE_MODEL_TOKENIZER_H
#define SLUICE_MODEL_TOKENIZER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct tokenizer;

/* Reads <folder>/tokenizer.json and <folder>/tokenizer_config.json, and looks at
 * <folder>/chat_template.jinja where there is one. Refuses what it does not implement
 * (another model than BPE, another normalizer than NFC, added tokens with lstrip, rstrip
 * or single_word, another chat template) by name. */
enum err_code tokenizer_open(struct tokenizer **out, const char *folder, struct err *err);
void tokenizer_destroy(struct tokenizer *tokenizer);

/* The length every prompt is cut or padded to: model_max_length of
 * tokenizer_config.json, at most 512. */
size_t tokenizer_limit(const struct tokenizer *tokenizer);

/* One more than the largest id it can produce. */
size_t tokenizer_vocabulary_size(const struct tokenizer *tokenizer);

/* Where token ids go. */
struct token_ids {
    uint32_t *ids; /* the caller's */
    size_t room;   /* how many fit */
    size_t used;   /* written, not counting padding */
    size_t total;  /* that the whole text has: more than `used` when it was cut */
};

/* Encodes UTF-8 text, without any template; what does not fit into out->room is cut. */
enum err_code tokenizer_encode(const struct tokenizer *tokenizer,
                               const char *text,
                               size_t length,
                               struct token_ids *out,
                               struct err *err);

/* Encodes a prompt inside klein's chat template (model/chat_template.h), cut and
 * right-padded to tokenizer_limit(), for which out->room must suffice. */
enum err_code tokenizer_encode_prompt(const struct tokenizer *tokenizer,
                                      const char *prompt,
                                      size_t length,
                                      struct token_ids *out,
                                      struct err *err);

#endif
