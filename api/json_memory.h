/*
 * json_memory - whether jansson ran out of memory while it read something.
 *
 * jansson (2.14) does not always say so: where its buffer cannot grow, a string that it
 * reads silently lacks bytes, and elsewhere a lack of memory is called a syntax error.
 *
 * Threads: json_memory_init before there are others; the rest are about the calling
 * thread alone. Ownership: none.
 */
#ifndef SLUICE_API_JSON_MEMORY_H
#define SLUICE_API_JSON_MEMORY_H

#include <stdbool.h>

/* Once in a program, before jansson is used. Without it nothing is ever noticed. */
void json_memory_init(void);

/* Forgets what was; then says whether this thread has lacked memory in jansson since. */
void json_memory_watch(void);
bool json_memory_lacked(void);

#endif
