#include "base/buf.h"

#include "base/size.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

void buf_init(struct buf *buf, size_t limit)
{
    *buf = (struct buf){.limit = limit};
}

void buf_finish(struct buf *buf)
{
    free(buf->data);
    buf_init(buf, buf->limit);
}

/* Makes room for `more` bytes and the NUL behind them. */
static bool reserve(struct buf *buf, size_t more)
{
    size_t need = size_add(buf->length, more);
    if (buf->failed)
        return false;
    if (need > buf->limit || need == SIZE_MAX)
        return !(buf->failed = buf->overflowed = true);
    if (need + 1 <= buf->capacity)
        return true;

    size_t capacity = size_max(size_multiply(buf->capacity, 2), FIRST_CAPACITY);
    capacity = size_max(capacity, need + 1);
    char *data = realloc(buf->data, capacity);
    if (data == NULL)
        return !(buf->failed = true);
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

bool buf_append(struct buf *buf, const void *data, size_t length)
{
    if (!reserve(buf, length))
        return false;
    if (length > 0)
        memcpy(buf->data + buf->length, data, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
    return true;
}

bool buf_print(struct buf *buf, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0)
        buf->failed = true;
    bool fits = n >= 0 && reserve(buf, (size_t)n);
    if (fits) {
        (void)vsnprintf(buf->data + buf->length, (size_t)n + 1, format, again);
        buf->length += (size_t)n;
    }
    va_end(again);
    return fits;
}

char *buf_take(struct buf *buf, size_t *length)
{
    if (buf->failed || buf->data == NULL)
        return NULL;
    char *data = buf->data;
    if (length != NULL)
        *length = buf->length;
    buf_init(buf, buf->limit);
    return data;
}
