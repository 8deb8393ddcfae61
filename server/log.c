#include "server/log.h"

#include "base/clock.h"
#include "base/text.h"

#include <string.h>
#include <unistd.h>

enum { MAX_LINE = 4096 };

/* RFC 8259, section 7. Bytes that are not UTF-8 become '?'. */
static void append_escaped(struct buf *out, const char *value)
{
    size_t length = strlen(value);
    bool is_utf8 = text_is_utf8(value, length, NULL);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c == '"' || c == '\\')
            (void)buf_print(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            (void)buf_print(out, "\\u%04x", c);
        else if (c >= 0x80 && !is_utf8)
            (void)buf_append(out, "?", 1);
        else
            (void)buf_append(out, &value[i], 1);
    }
}

void log_begin(struct log_line *line, const char *level, const char *event)
{
    char now[CLOCK_TEXT_SIZE];
    clock_text(now);
    buf_init(&line->text, MAX_LINE);
    (void)buf_print(&line->text, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"",
                    now, level, event);
}

void log_text(struct log_line *line, const char *key, const char *value)
{
    (void)buf_print(&line->text, ",\"%s\":\"", key);
    append_escaped(&line->text, value);
    (void)buf_append(&line->text, "\"", 1);
}

void log_count(struct log_line *line, const char *key, uint64_t value)
{
    (void)buf_print(&line->text, ",\"%s\":%llu", key, (unsigned long long)value);
}

void log_real(struct log_line *line, const char *key, double value)
{
    (void)buf_print(&line->text, ",\"%s\":%.3f", key, value);
}

void log_end(struct log_line *line)
{
    (void)buf_append(&line->text, "}\n", 2);
    /* A line that could not be built or written is lost: serving goes on. */
    if (!line->text.failed &&
        write(STDOUT_FILENO, line->text.data, line->text.length) < 0) {
        buf_finish(&line->text);
        return;
    }
    buf_finish(&line->text);
}

void log_message(const char *level, const char *event, const char *message)
{
    struct log_line line;
    log_begin(&line, level, event);
    log_text(&line, "message", message);
    log_end(&line);
}
