#include "model/byte_pairs.h"

#include "base/size.h"
#include "model/hash.h"
#include "model/vocabulary.h"

#include <jansson.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NO_RANK UINT32_MAX
#define NOWHERE UINT32_MAX

/* A token may be made in several ways: Llama 3 has two merges for each, on average. */
enum { MERGES_OF_ONE = 16 };

struct slot {
    uint32_t left, right;
    uint32_t rank; /* NO_RANK: the slot is empty */
    uint32_t merged;
};

struct byte_pairs {
    uint32_t byte_ids[256];
    struct slot *slots;
    size_t slot_count;
    uint32_t merges, limit; /* added so far, room for */
};

/* A run of bytes that is one token now, named by the index of its first byte. Pieces
 * form a list over indices; those that were merged into their left neighbour are out. */
struct piece {
    uint32_t id;
    uint32_t previous, next; /* NOWHERE at the ends */
    uint32_t merged;         /* what this piece and the next would become */
};

enum err_code byte_pairs_create(struct byte_pairs **out,
                                const uint32_t byte_ids[256],
                                size_t merges,
                                size_t entries,
                                struct err *err)
{
    size_t most = size_min(size_multiply(entries, MERGES_OF_ONE), NO_RANK - 1);
    if (merges > most)
        return err_set(err, ERR_UNSUPPORTED,
                       "%zu merges, expected at most %zu for a vocabulary of %zu", merges,
                       most, entries);
    struct byte_pairs *pairs = calloc(1, sizeof(*pairs));
    if (pairs == NULL)
        goto fail;
    memcpy(pairs->byte_ids, byte_ids, sizeof(pairs->byte_ids));
    pairs->limit = (uint32_t)merges;
    pairs->slot_count = hash_slots(merges);
    pairs->slots = malloc(size_multiply(pairs->slot_count, sizeof(*pairs->slots)));
    if (pairs->slots == NULL)
        goto fail;
    for (size_t i = 0; i < pairs->slot_count; i++)
        pairs->slots[i] = (struct slot){.rank = NO_RANK};
    *out = pairs;
    return ERR_OK;

fail:
    byte_pairs_destroy(pairs);
    return err_set(err, ERR_NO_MEMORY, "no memory for %zu merges", merges);
}

void byte_pairs_destroy(struct byte_pairs *pairs)
{
    if (pairs == NULL)
        return;
    free(pairs->slots);
    free(pairs);
}

/* The slot of the pair, or the empty one where it belongs. */
static struct slot *
find_slot(const struct byte_pairs *pairs, uint32_t left, uint32_t right)
{
    size_t mask = pairs->slot_count - 1;
    size_t at = (size_t)hash_pair(left, right) & mask;
    for (;; at = (at + 1) & mask) {
        struct slot *slot = &pairs->slots[at];
        if (slot->rank == NO_RANK || (slot->left == left && slot->right == right))
            return slot;
    }
}

void byte_pairs_add(struct byte_pairs *pairs,
                    uint32_t left,
                    uint32_t right,
                    uint32_t merged)
{
    assert(pairs->merges < pairs->limit);
    *find_slot(pairs, left, right) = (struct slot){
        .left = left, .right = right, .rank = pairs->merges++, .merged = merged};
}

/* One of model.merges: "left right" or ["left", "right"]. */
static enum err_code add_merge(struct byte_pairs *pairs,
                               const struct vocabulary *vocabulary,
                               const json_t *merge,
                               struct err *err)
{
    const char *left = json_string_value(merge), *right = NULL;
    size_t left_length = 0, right_length = 0;
    if (left != NULL) {
        left_length = strcspn(left, " ");
        right = left + left_length + (left[left_length] != '\0');
        right_length = strcspn(right, " ");
        if (right[right_length] != '\0')
            right_length = 0;
    } else if (json_array_size(merge) == 2) {
        left = json_string_value(json_array_get(merge, 0));
        right = json_string_value(json_array_get(merge, 1));
        left_length = left != NULL ? strlen(left) : 0;
        right_length = right != NULL ? strlen(right) : 0;
    }
    char joined[1024];
    if (left_length == 0 || right_length == 0 ||
        left_length + right_length > sizeof(joined))
        return err_set(err, ERR_FORMAT,
                       "expected \"left right\" or [\"left\", \"right\"], of at most "
                       "%zu bytes",
                       sizeof(joined));
    memcpy(joined, left, left_length);
    memcpy(joined + left_length, right, right_length);

    uint32_t left_id = 0, right_id = 0, joined_id = 0;
    if (!vocabulary_find(vocabulary, left, left_length, &left_id) ||
        !vocabulary_find(vocabulary, right, right_length, &right_id) ||
        !vocabulary_find(vocabulary, joined, left_length + right_length, &joined_id))
        return err_set(err, ERR_FORMAT,
                       "'%.*s' and '%.*s', or what they become, are not in model.vocab",
                       (int)size_min(left_length, 64), left,
                       (int)size_min(right_length, 64), right);
    byte_pairs_add(pairs, left_id, right_id, joined_id);
    return ERR_OK;
}

enum err_code byte_pairs_add_all(struct byte_pairs *pairs,
                                 const struct vocabulary *vocabulary,
                                 const struct json_t *merges,
                                 struct err *err)
{
    for (size_t i = 0; i < json_array_size(merges); i++) {
        enum err_code code = add_merge(pairs, vocabulary, json_array_get(merges, i), err);
        if (code != ERR_OK)
            return err_prefix(err, code, "model.merges[%zu]", i);
    }
    return ERR_OK;
}

void byte_pairs_work_finish(struct byte_pairs_work *work)
{
    free(work->ids);
    free(work->pieces);
    free(work->ranks);
    *work = (struct byte_pairs_work){0};
}

static size_t leaves_for(size_t length)
{
    size_t leaves = 1;
    while (leaves < length)
        leaves *= 2;
    return leaves;
}

static enum err_code reserve(struct byte_pairs_work *work, size_t length, struct err *err)
{
    if (length <= work->capacity)
        return ERR_OK;
    if (length > UINT32_MAX / 4)
        return err_set(err, ERR_INVALID, "a word of %zu bytes, expected at most %lu",
                       length, (unsigned long)(UINT32_MAX / 4));
    byte_pairs_work_finish(work);
    size_t capacity = leaves_for(length);
    work->ids = malloc(size_multiply(capacity, sizeof(*work->ids)));
    work->pieces = malloc(size_multiply(capacity, sizeof(*work->pieces)));
    work->ranks = calloc(capacity, 2 * sizeof(*work->ranks));
    if (work->ids == NULL || work->pieces == NULL || work->ranks == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a word of %zu bytes", length);
    work->capacity = capacity;
    return ERR_OK;
}

/* The rank at which piece `at` merges with the next one. */
static uint32_t rank_of(const struct byte_pairs *pairs, struct piece *pieces, uint32_t at)
{
    if (pieces[at].next == NOWHERE)
        return NO_RANK;
    const struct slot *slot = find_slot(pairs, pieces[at].id, pieces[pieces[at].next].id);
    pieces[at].merged = slot->merged;
    return slot->rank;
}

/*
 * The ranks are the leaves of a complete binary tree in an array: node k has the
 * children 2k and 2k + 1, leaf i is node leaves + i, and each inner node holds the
 * smaller of its children. So the root is the lowest rank of all, and following equals,
 * left first, from the root leads to the leftmost pair that has it.
 */
static void set_rank(uint32_t *ranks, size_t leaves, uint32_t at, uint32_t rank)
{
    size_t node = leaves + at;
    ranks[node] = rank;
    for (node /= 2; node > 0; node /= 2) {
        uint32_t left = ranks[2 * node], right = ranks[2 * node + 1];
        uint32_t low = left < right ? left : right;
        if (ranks[node] == low)
            break;
        ranks[node] = low;
    }
}

static uint32_t lowest(const uint32_t *ranks, size_t leaves)
{
    size_t node = 1;
    while (node < leaves)
        node = ranks[2 * node] == ranks[node] ? 2 * node : 2 * node + 1;
    return (uint32_t)(node - leaves);
}

static void start(const struct byte_pairs *pairs,
                  struct byte_pairs_work *work,
                  const char *text,
                  uint32_t length,
                  size_t leaves)
{
    for (uint32_t i = 0; i < length; i++)
        work->pieces[i] = (struct piece){
            .id = pairs->byte_ids[(unsigned char)text[i]],
            .previous = i > 0 ? i - 1 : NOWHERE,
            .next = i + 1 < length ? i + 1 : NOWHERE,
        };
    for (uint32_t i = 0; i < leaves; i++)
        work->ranks[leaves + i] = i < length ? rank_of(pairs, work->pieces, i) : NO_RANK;
    for (size_t node = leaves - 1; node > 0; node--) {
        uint32_t left = work->ranks[2 * node], right = work->ranks[2 * node + 1];
        work->ranks[node] = left < right ? left : right;
    }
}

enum err_code byte_pairs_encode(const struct byte_pairs *pairs,
                                struct byte_pairs_work *work,
                                const char *text,
                                size_t length,
                                struct err *err)
{
    enum err_code code = reserve(work, length, err);
    if (code != ERR_OK)
        return code;
    work->count = 0;
    if (length == 0)
        return ERR_OK;

    size_t leaves = leaves_for(length);
    struct piece *pieces = work->pieces;
    start(pairs, work, text, (uint32_t)length, leaves);
    while (work->ranks[1] != NO_RANK) {
        uint32_t at = lowest(work->ranks, leaves);
        uint32_t gone = pieces[at].next, after = pieces[gone].next;
        pieces[at].id = pieces[at].merged;
        pieces[at].next = after;
        if (after != NOWHERE)
            pieces[after].previous = at;
        set_rank(work->ranks, leaves, gone, NO_RANK);
        set_rank(work->ranks, leaves, at, rank_of(pairs, pieces, at));
        uint32_t before = pieces[at].previous;
        if (before != NOWHERE)
            set_rank(work->ranks, leaves, before, rank_of(pairs, pieces, before));
    }
    for (uint32_t at = 0; at != NOWHERE; at = pieces[at].next)
        work->ids[work->count++] = pieces[at].id;
    return ERR_OK;
}
