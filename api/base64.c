#include "api/base64.h"

#include <stdint.h>

/* Bytes that are encoded between two appends: a multiple of 3. */
enum { CHUNK = 3 * 256 };

static size_t encode_chunk(const uint8_t *data, size_t length, char *out)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t bits = (uint32_t)data[i] << 16;
        bits |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= left > 2 ? data[i + 2] : 0;
        out[n++] = digits[bits >> 18];
        out[n++] = digits[bits >> 12 & 63];
        out[n++] = '=';
        out[n++] = '=';
        if (left > 1)
            out[n - 2] = digits[bits >> 6 & 63];
        if (left > 2)
            out[n - 1] = digits[bits & 63];
    }
    return n;
}

void base64_encode(const void *data, size_t length, struct buf *out)
{
    const uint8_t *bytes = data;
    char text[CHUNK / 3 * 4];
    for (size_t at = 0; at < length; at += CHUNK) {
        size_t n = length - at < CHUNK ? length - at : CHUNK;
        (void)buf_append(out, text, encode_chunk(bytes + at, n, text));
    }
}
