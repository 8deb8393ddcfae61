/*
 * log - one JSON object a line on standard output, written by one call.
 *
 * Built value by value; what a client sent is escaped. Prompts are never logged, only
 * their length and digest.
 *
 * Threads: any; lines of several threads do not mix. Ownership: a line's bytes are freed
 * by log_end.
 */
#ifndef SLUICE_SERVER_LOG_H
#define SLUICE_SERVER_LOG_H

#include "base/buf.h"

#include <stdint.h>

struct log_line {
    struct buf text;
};

/* level: "info", "warning" or "error"; event: what happened, in one word or two. */
void log_begin(struct log_line *line, const char *level, const char *event);
void log_text(struct log_line *line, const char *key, const char *value);
void log_count(struct log_line *line, const char *key, uint64_t value);
void log_real(struct log_line *line, const char *key, double value);
void log_end(struct log_line *line);

/* A line whose only value is "message". */
void log_message(const char *level, const char *event, const char *message);

#endif
