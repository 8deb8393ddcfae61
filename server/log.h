/*
 * log - one JSON object a line on standard output.
 *
 * Built value by value; what a client sent is escaped. Prompts are never logged, only
 * their length and digest.
 *
 * Whoever logs is never held up by a reader that hangs: after log_writer_start lines wait
 * in memory, and a thread of its own writes them. When more than a megabyte waits, new
 * lines are dropped, and a line says how many as soon as there is room again.
 *
 * Threads: any; lines of several threads do not mix. log_writer_start and log_writer_stop
 * by one, while no other logs. Ownership: a line's bytes are freed by log_end.
 */
#ifndef SLUICE_SERVER_LOG_H
#define SLUICE_SERVER_LOG_H

#include "base/buf.h"

#include <stdint.h>

struct log_line {
    struct buf text;
};

/* From now on lines are written by a thread. Without it (no memory for one) they are
 * written by whoever logs, as before. */
void log_writer_start(void);

/* Waits until all lines are written, but only for a second when nobody reads them. */
void log_writer_stop(void);

/* level: "info", "warning" or "error"; event: what happened, in one word or two. */
void log_begin(struct log_line *line, const char *level, const char *event);
void log_text(struct log_line *line, const char *key, const char *value);
void log_count(struct log_line *line, const char *key, uint64_t value);
void log_real(struct log_line *line, const char *key, double value);
void log_end(struct log_line *line);

/* A line whose only value is "message". */
void log_message(const char *level, const char *event, const char *message);

#endif
