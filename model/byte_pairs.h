/*
 * byte_pairs - byte-pair encoding of one pre-token (Sennrich, Haddow, Birch 2016,
 * "Neural machine translation of rare words with subword units"), on bytes.
 *
 * A pre-token starts as one token a byte. Of all neighbours that may merge, the pair
 * with the lowest rank merges first, the leftmost among equals, until none is left.
 * That takes O(n log n) for n bytes, whatever they are.
 *
 * Threads: constant after the last byte_pairs_add; a byte_pairs_work belongs to one
 * encode. Ownership: new from byte_pairs_create, freed by byte_pairs_destroy.
 */
#ifndef SLUICE_MODEL_BYTE_PAIRS_H
#define SLUICE_MODEL_BYTE_PAIRS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct byte_pairs;
struct json_t;
struct vocabulary;

/* Room for `merges` merges, which are refused when a vocabulary of so many entries cannot
 * have them; byte_ids holds the token of each single byte. */
enum err_code byte_pairs_create(struct byte_pairs **out,
                                const uint32_t byte_ids[256],
                                size_t merges,
                                size_t entries,
                                struct err *err);
void byte_pairs_destroy(struct byte_pairs *pairs);

/* Left and right, side by side, become `merged`. Ranks follow the order of the calls; a
 * pair that is added again has its last rank, as in Hugging Face's tokenizers. The
 * caller keeps to the room it asked for. */
void byte_pairs_add(struct byte_pairs *pairs,
                    uint32_t left,
                    uint32_t right,
                    uint32_t merged);

/* Adds tokenizer.json's model.merges, an array of "left right" or ["left", "right"]. */
enum err_code byte_pairs_add_all(struct byte_pairs *pairs,
                                 const struct vocabulary *vocabulary,
                                 const struct json_t *merges,
                                 struct err *err);

/* Working memory that grows to the longest pre-token; starts zeroed. After
 * byte_pairs_encode, ids[0 .. count) is the result. */
struct byte_pairs_work {
    uint32_t *ids;
    size_t count;
    size_t capacity; /* in bytes of text */
    struct piece *pieces;
    uint32_t *ranks;
};
void byte_pairs_work_finish(struct byte_pairs_work *work);

enum err_code byte_pairs_encode(const struct byte_pairs *pairs,
                                struct byte_pairs_work *work,
                                const char *text,
                                size_t length,
                                struct err *err);

#endif
