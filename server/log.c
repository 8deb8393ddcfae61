#include "server/log.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 4096, MAX_WAITING = 1024 * 1024, STOP_SECONDS = 1 };

/* The process has one standard output, so there is one of these. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool runs, is_stopping, has_ended;
    struct buf waiting;
    uint64_t dropped; /* lines that did not fit */
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER};

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

/* What cannot be written is lost: serving goes on. Whoever shares the standard output may
 * have made it non-blocking. */
static void write_out(const struct buf *text)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    size_t done = 0;
    while (done < text->length) {
        ssize_t n = write(STDOUT_FILENO, text->data + done, text->length - done);
        if (n < 0 && errno == EAGAIN)
            (void)poll(&output, 1, -1);
        else if (n < 0 && errno != EINTR)
            return;
        done += n < 0 ? 0 : (size_t)n;
    }
}

/* The writer's lock is held. */
static void put_aside(const struct buf *line)
{
    if (writer.dropped == 0 && buf_append(&writer.waiting, line->data, line->length))
        return;
    /* What waits stays whole when there is no memory for more. */
    writer.waiting.failed = writer.waiting.overflowed = false;
    writer.dropped++;
}

void log_end(struct log_line *line)
{
    struct buf *text = &line->text;
    (void)buf_append(text, "}\n", 2);
    (void)pthread_mutex_lock(&writer.lock);
    bool is_direct = !writer.runs;
    if (!is_direct && !text->failed) {
        put_aside(text);
        (void)pthread_cond_broadcast(&writer.changed);
    }
    (void)pthread_mutex_unlock(&writer.lock);
    if (is_direct && !text->failed)
        write_out(text);
    buf_finish(text);
}

static void write_dropped(uint64_t dropped)
{
    struct log_line line;
    log_begin(&line, "warning", "dropped");
    log_text(&line, "message", "lines of this log were lost: its reader was too slow");
    log_count(&line, "lines", dropped);
    (void)buf_append(&line.text, "}\n", 2);
    if (!line.text.failed)
        write_out(&line.text);
    buf_finish(&line.text);
}

/* Takes all that waits at once, and writes it outside of the lock. */
static void *run(void *argument)
{
    (void)argument;
    (void)pthread_mutex_lock(&writer.lock);
    for (;;) {
        while (writer.waiting.length == 0 && writer.dropped == 0 && !writer.is_stopping)
            (void)pthread_cond_wait(&writer.changed, &writer.lock);
        if (writer.waiting.length == 0 && writer.dropped == 0)
            break;
        struct buf taken = writer.waiting;
        uint64_t dropped = writer.dropped;
        buf_init(&writer.waiting, MAX_WAITING);
        writer.dropped = 0;
        (void)pthread_mutex_unlock(&writer.lock);
        write_out(&taken);
        buf_finish(&taken);
        if (dropped > 0)
            write_dropped(dropped);
        (void)pthread_mutex_lock(&writer.lock);
    }
    writer.has_ended = true;
    (void)pthread_cond_broadcast(&writer.changed);
    (void)pthread_mutex_unlock(&writer.lock);
    return NULL;
}

void log_writer_start(void)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&writer.changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_lock(&writer.lock);
    buf_init(&writer.waiting, MAX_WAITING);
    writer.is_stopping = writer.has_ended = false;
    writer.runs = pthread_create(&writer.thread, NULL, run, NULL) == 0;
    (void)pthread_mutex_unlock(&writer.lock);
}

void log_writer_stop(void)
{
    struct timespec end;
    int status = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += STOP_SECONDS;
    (void)pthread_mutex_lock(&writer.lock);
    bool did_run = writer.runs;
    writer.is_stopping = true;
    if (did_run)
        (void)pthread_cond_broadcast(&writer.changed);
    while (did_run && !writer.has_ended && status == 0)
        status = pthread_cond_timedwait(&writer.changed, &writer.lock, &end);
    bool has_ended = writer.has_ended;
    writer.runs = did_run && !has_ended;
    (void)pthread_mutex_unlock(&writer.lock);
    if (has_ended)
        (void)pthread_join(writer.thread, NULL);
    else if (did_run)
        (void)pthread_detach(writer.thread); /* it hangs in a write, until the end */
}

void log_message(const char *level, const char *event, const char *message)
{
    struct log_line line;
    log_begin(&line, level, event);
    log_text(&line, "message", message);
    log_end(&line);
}
