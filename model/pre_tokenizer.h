/*
 * pre_tokenizer - cuts text into added tokens and pre-tokens, the words that byte-pair
 * encoding works on.
 *
 * In the order of Hugging Face's tokenizers: added tokens whose `normalized` is false are
 * cut out of the raw text, leftmost and longest first; what lies between is put into NFC
 * (Unicode Standard Annex 15); the other added tokens are cut out of that; what is left
 * is split by the model's regex, where text that no match covers stays as a piece too.
 * Each stretch between added tokens is a text of its own: a lookahead does not see past
 * its end.
 *
 * Threads: constant after pre_tokenizer_create; any number may run at once. Ownership:
 * new from pre_tokenizer_create, freed by pre_tokenizer_destroy; arguments are copied.
 */
#ifndef SLUICE_MODEL_PRE_TOKENIZER_H
#define SLUICE_MODEL_PRE_TOKENIZER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pre_tokenizer;

struct added_token {
    const char *text; /* UTF-8, borrowed */
    size_t length;    /* at least 1 */
    uint32_t id;
    bool normalized; /* found in the NFC text, not in the raw text */
};

/* `pattern` is a regex as Oniguruma reads it (Ruby syntax). ERR_UNSUPPORTED, naming the
 * construct, where PCRE2 would read it differently. */
enum err_code pre_tokenizer_create(struct pre_tokenizer **out,
                                   const char *pattern,
                                   const struct added_token *added,
                                   size_t count,
                                   struct err *err);
void pre_tokenizer_destroy(struct pre_tokenizer *pre_tokenizer);

/* Either an added token or the bytes of a pre-token; valid during the visit. */
struct pre_token {
    const char *text; /* NULL: an added token, with `id` */
    size_t length;    /* at least 1 */
    uint32_t id;
};

/* Anything but ERR_OK ends the run, which returns it. */
typedef enum err_code (*pre_token_visitor)(void *context,
                                           const struct pre_token *token,
                                           struct err *err);

/* Visits the parts of `text` in order. `text` has to be UTF-8 (text_is_utf8). */
enum err_code pre_tokenizer_run(const struct pre_tokenizer *pre_tokenizer,
                                const char *text,
                                size_t length,
                                pre_token_visitor visit,
                                void *context,
                                struct err *err);

/* The character that stands for a byte in the texts of a byte-level vocabulary (GPT-2's
 * encoder.py, bytes_to_unicode). Writes its UTF-8 form and returns its length, 1 or 2. */
size_t pre_tokenizer_symbol(unsigned char byte, char symbol[2]);

#endif
