/*
 * err - what went wrong, in words a user of the service can act on.
 *
 * A function that can fail returns an err_code (ERR_OK is 0) and takes a
 * `struct err *` as its last argument, which may be NULL. The callee fills it
 * once, at the place that knows the reason; callers on the way up only pass it
 * on, or put the place in front of it with err_prefix.
 *
 * Threads: a struct err belongs to its caller's stack. Ownership: nothing is
 * allocated; the message is stored inside.
 */
#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

#define ERR_MAP(X)                                                                       \
    X(OK, "ok")                                                                          \
    X(INVALID, "invalid argument")                                                       \
    X(FORMAT, "malformed data")                                                          \
    X(UNSUPPORTED, "unsupported")                                                        \
    X(NOT_FOUND, "not found")                                                            \
    X(NO_MEMORY, "out of memory")                                                        \
    X(IO, "input/output error")                                                          \
    X(BUSY, "no capacity left")                                                          \
    X(CANCELED, "canceled")                                                              \
    X(INTERNAL, "internal error")

enum err_code {
#define X(name, text) ERR_##name,
    ERR_MAP(X)
#undef X
};

struct err {
    enum err_code code;
    char message[480];
};

/* The fixed text of a code, never NULL. */
const char *err_text(enum err_code code);

/* Fills *err (if not NULL) and returns code, so that failing is one statement:
 * `return err_set(err, ERR_FORMAT, "header is %zu bytes", n);` */
enum err_code err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<prefix>: " before the message of a failed call, so that it says where, and
 * returns err's code. err may be NULL: then code is returned. */
enum err_code err_prefix(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
