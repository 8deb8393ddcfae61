/* Any text becomes ids of the vocabulary, or is refused because it is not UTF-8. A
 * smaller room holds the beginning of what a larger one does. The model is that of a
 * golden case; SLUICE_SOURCE_DIR is the root of the tree. */
#include "base/size.h"
#include "base/text.h"
#include "model/tokenizer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tokenizer *tokenizer; /* constant after LLVMFuzzerInitialize */

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    require(tokenizer_open(&tokenizer,
                           SLUICE_SOURCE_DIR "/tests/golden/f32/model/tokenizer",
                           NULL) == ERR_OK);
    return 0;
}

static void check_ids(const struct token_ids *out, size_t room)
{
    require(out->used == size_min(out->total, room));
    for (size_t i = 0; i < out->used; i++)
        require(out->ids[i] < tokenizer_vocabulary_size(tokenizer));
}

static void check_prompt(const char *text, size_t size)
{
    uint32_t ids[512];
    size_t limit = tokenizer_limit(tokenizer);
    struct token_ids out = {.ids = ids, .room = 512};
    require(tokenizer_encode_prompt(tokenizer, text, size, &out, NULL) == ERR_OK);
    require(out.used > 0 && out.used <= limit && out.used <= out.total);
    for (size_t i = 0; i < limit; i++)
        require(ids[i] < tokenizer_vocabulary_size(tokenizer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    /* A token takes a byte at least; NFC makes a character at most three times as long.
     */
    size_t room = 3 * size + 1, small = size / 3;
    uint32_t *ids = calloc(room, sizeof(*ids)), *some = calloc(room, sizeof(*some));
    require(ids != NULL && some != NULL);
    struct token_ids out = {.ids = ids, .room = room};
    struct token_ids cut = {.ids = some, .room = small};
    struct err err = {0};
    enum err_code code = tokenizer_encode(tokenizer, text, size, &out, &err);
    require((code == ERR_OK) == text_is_utf8(text, size, NULL));
    require(code == ERR_OK || (code == ERR_INVALID && err.message[0] != '\0'));
    if (code == ERR_OK) {
        require(out.total <= room);
        check_ids(&out, room);
        require(tokenizer_encode(tokenizer, text, size, &cut, NULL) == ERR_OK);
        require(cut.total == out.total);
        check_ids(&cut, small);
        require(memcmp(ids, some, cut.used * sizeof(*ids)) == 0);
        check_prompt(text, size);
    }
    free(ids);
    free(some);
    return 0;
}
