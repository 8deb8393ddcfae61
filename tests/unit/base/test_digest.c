/* The examples of FIPS 180-4 (NIST, "SHA-256 example values"), whole and in pieces. */
#include "base/digest.h"
#include "tests/check.h"

#include <string.h>

static const struct {
    const char *text, *digest;
} examples[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

int main(void)
{
    char text[DIGEST_TEXT_SIZE];
    struct digest digest;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const size_t length = strlen(examples[i].text);
        for (size_t piece = 1; piece <= length + 1; piece++) {
            digest_init(&digest);
            for (size_t at = 0; at < length; at += piece)
                digest_add(&digest, examples[i].text + at,
                           at + piece < length ? piece : length - at);
            digest_finish(&digest, text);
            CHECK(strcmp(text, examples[i].digest) == 0);
        }
    }

    char thousand[1000];
    memset(thousand, 'a', sizeof(thousand));
    digest_init(&digest);
    for (int i = 0; i < 1000; i++)
        digest_add(&digest, thousand, sizeof(thousand));
    digest_finish(&digest, text);
    CHECK(strcmp(text,
                 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0") ==
          0);
    return 0;
}
