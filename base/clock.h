/*
 * clock - the one place where time comes from.
 *
 * Threads: any. Ownership: none.
 */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds of a clock that never jumps; only differences mean something. */
uint64_t clock_now(void);

/* The wall clock in UTC as RFC 3339 with milliseconds, NUL-terminated. */
enum { CLOCK_TEXT_SIZE = 32 };
void clock_text(char text[CLOCK_TEXT_SIZE]);

/* Nanoseconds as milliseconds, for people and headers. */
double clock_milliseconds(uint64_t nanoseconds);

#endif
