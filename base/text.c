#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The length of the UTF-8 sequence at p, 0 when it is none (RFC 3629, section 4). */
static size_t sequence_length(const unsigned char *p, size_t left)
{
    static const struct {
        unsigned char first, last; /* range of the lead byte */
        unsigned char low, high;   /* range of the second byte */
        unsigned char length;
    } forms[] = {
        {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2},
        {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4},
        {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (p[0] < forms[i].first || p[0] > forms[i].last)
            continue;
        size_t length = forms[i].length;
        if (length > left)
            return 0;
        if (length > 1 && (p[1] < forms[i].low || p[1] > forms[i].high))
            return 0;
        for (size_t k = 2; k < length; k++) {
            if ((p[k] & 0xC0) != 0x80)
                return 0;
        }
        return length;
    }
    return 0;
}

bool text_is_utf8(const char *text, size_t length, size_t *characters)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t count = 0;
    for (size_t at = 0; at < length; count++) {
        size_t n = sequence_length(p + at, length - at);
        if (n == 0)
            return false;
        at += n;
    }
    if (characters != NULL)
        *characters = count;
    return true;
}

bool text_to_unsigned(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    if (*text == '\0')
        return false;
    uint64_t value = 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        uint64_t digit = (uint64_t)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value < low || value > high)
        return false;
    *out = value;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

void text_from_double(char out[TEXT_NUMBER_SIZE], double value)
{
    int digits = DBL_DIG;
    do
        (void)snprintf(out, TEXT_NUMBER_SIZE, "%.*g", digits, value);
    while (strtod(out, NULL) != value && digits++ < DBL_DECIMAL_DIG);
}

bool text_equal_ignoring_case(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

static enum err_code
read_all(int fd, char *data, size_t length, const char *path, struct err *err)
{
    for (size_t at = 0; at < length;) {
        ssize_t n = read(fd, data + at, length - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, ERR_IO, "%s: cannot read: %s", path,
                           n < 0 ? strerror(errno) : "the file became shorter");
        at += (size_t)n;
    }
    data[length] = '\0';
    return ERR_OK;
}

enum err_code text_read_file(
    char **out, size_t *length, const char *path, size_t limit, struct err *err)
{
    struct stat st;
    char *data = NULL;
    /* Without O_NONBLOCK a FIFO would wait for somebody to write. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
                       strerror(errno));

    enum err_code code = ERR_OK;
    if (fstat(fd, &st) != 0)
        code = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        code = err_set(err, ERR_FORMAT, "%s: not a regular file", path);
    else if (st.st_size < 0 || (uintmax_t)st.st_size > limit)
        code = err_set(err, ERR_FORMAT, "%s: %jd bytes, expected at most %zu", path,
                       (intmax_t)st.st_size, limit);
    else if ((data = malloc((size_t)st.st_size + 1)) == NULL)
        code = err_set(err, ERR_NO_MEMORY, "%s: no memory for %jd bytes", path,
                       (intmax_t)st.st_size);
    else
        code = read_all(fd, data, (size_t)st.st_size, path, err);

    (void)close(fd);
    if (code != ERR_OK) {
        free(data);
        return code;
    }
    *out = data;
    *length = (size_t)st.st_size;
    return ERR_OK;
}
