/*
 * helpers - threads that do nothing but help a team: what idle workers are to the engine,
 * for a command that has no engine.
 *
 * Threads: started and stopped by one. Ownership: each has scratch memory of its own
 * until helpers_stop.
 */
#ifndef SLUICE_SERVER_HELPERS_H
#define SLUICE_SERVER_HELPERS_H

#include "base/err.h"
#include "model/run.h"

#include <stddef.h>

struct helpers;

/* Opens the team and starts n threads that help it, each with so many bytes. */
enum err_code helpers_start(
    struct helpers **out, struct team *team, size_t n, size_t scratch, struct err *err);

/* Closes the team and ends the threads. Accepts NULL. */
void helpers_stop(struct helpers *helpers);

#endif
