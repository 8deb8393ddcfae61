#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *err_text(enum err_code code)
{
    switch (code) {
#define X(name, text)                                                                    \
    case ERR_##name:                                                                     \
        return text;
        ERR_MAP(X)
#undef X
    }
    return "unknown error";
}

enum err_code err_set(struct err *err, enum err_code code, const char *format, ...)
{
    if (err != NULL) {
        va_list ap;
        va_start(ap, format);
        err->code = code;
        (void)vsnprintf(err->message, sizeof(err->message), format, ap);
        va_end(ap);
    }
    return code;
}

enum err_code err_prefix(struct err *err, enum err_code code, const char *format, ...)
{
    if (err == NULL)
        return code;
    char old[sizeof(err->message)];
    memcpy(old, err->message, sizeof(old));

    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(err->message, sizeof(err->message), format, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n + 2 < sizeof(err->message)) {
        /* The old text is cut where the two do not fit together. */
        size_t room = sizeof(err->message) - (size_t)n - 3;
        (void)snprintf(err->message + n, room + 3, ": %.*s", (int)room, old);
    }
    return code;
}
