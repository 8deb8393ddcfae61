/*
 * buf - bytes that grow, up to a limit.
 *
 * A failed append (no memory, or past the limit) is remembered: later appends do
 * nothing, and one look at `failed` at the end says whether the whole is there.
 *
 * Threads: one at a time. Ownership: the buf owns its bytes until buf_take.
 */
#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* length bytes and a NUL that is not counted; NULL while empty */
    size_t length, capacity;
    size_t limit; /* the most bytes it may hold */
    bool failed;
    bool overflowed; /* it failed at the limit, not for want of memory */
};

/* An empty buf of at most `limit` bytes; allocates nothing yet. */
void buf_init(struct buf *buf, size_t limit);

/* Frees the bytes; the buf is empty and usable afterwards. */
void buf_finish(struct buf *buf);

/* Both return false, and set failed, when the bytes do not fit. */
bool buf_append(struct buf *buf, const void *data, size_t length);
bool buf_print(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Hands the bytes (NUL-terminated) to the caller, who frees them with free(). NULL if
 * the buf failed or nothing was ever appended. The buf is empty afterwards. */
char *buf_take(struct buf *buf, size_t *length);

#endif
