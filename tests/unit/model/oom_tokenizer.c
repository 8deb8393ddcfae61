/* Every allocation of opening the house tokenizer, and of encoding with it, fails once:
 * the refusal says so and nothing is handed out or (under a leak checker) lost. */
#include "model/tokenizer.h"
#include "tests/check.h"
#include "tests/lib/fault.h"

#include <string.h>

enum { LIMIT = 512 };

static struct tokenizer *open_at_last(void)
{
    struct tokenizer *tokenizer = NULL;
    for (long failures = 0;; failures++) {
        struct err err = {0};
        fault_after(failures);
        const enum err_code code =
            tokenizer_open(&tokenizer, SLUICE_SOURCE_DIR "/model/house/tokenizer", &err);
        fault_after(-1);
        if (code == ERR_OK) {
            /* Two files, the vocabulary, the merges, the added tokens, the regex. */
            CHECK(failures >= 12);
            return tokenizer;
        }
        CHECK(code == ERR_NO_MEMORY && err.code == ERR_NO_MEMORY);
        CHECK(strstr(err.message, "/tokenizer") != NULL);
        CHECK(tokenizer == NULL);
    }
}

static void encode_at_last(const struct tokenizer *tokenizer)
{
    static const char prompt[] = "grinning cat, a word longerthanthosebefore";
    uint32_t ids[LIMIT];
    struct token_ids out = {.ids = ids, .room = LIMIT, .used = 4711, .total = 4711};
    CHECK(tokenizer_limit(tokenizer) <= LIMIT);
    for (long failures = 0;; failures++) {
        struct err err = {0};
        fault_after(failures);
        const enum err_code code =
            tokenizer_encode_prompt(tokenizer, prompt, strlen(prompt), &out, &err);
        fault_after(-1);
        if (code == ERR_OK) {
            CHECK(failures >= 4);
            CHECK(out.used <= out.total && out.used != 4711);
            return;
        }
        CHECK(code == ERR_NO_MEMORY && err.code == ERR_NO_MEMORY);
        CHECK(out.used == 4711 && out.total == 4711);
    }
}

int main(void)
{
    struct tokenizer *tokenizer = open_at_last();
    encode_at_last(tokenizer);
    tokenizer_destroy(tokenizer);
    return 0;
}
