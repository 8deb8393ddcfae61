/*
 * commands - the subcommands of the one binary; each returns the process's exit status.
 *
 * Threads: called by main. Ownership: options are borrowed.
 */
#ifndef SLUICE_SERVER_COMMANDS_H
#define SLUICE_SERVER_COMMANDS_H

#include "server/options.h"

/* Serves until a signal ends it: 0 after a clean drain, 1 when it could not start. */
int serve_run(const struct options *options);

/* Makes one image and writes it to a file: 0, or 1 with the reason on stderr. */
int generate_run(const struct options *options);

/* Prints what a model folder holds: 0, or 1 with the reason on stderr. */
int inspect_run(const struct options *options);

/* 0 when the server on this machine says that it is ready, else 1. */
int healthcheck_run(const struct options *options);

/* Measures a model on this machine and prints what was found: 0, or 1 with the reason on
 * stderr. */
int bench_run(const struct options *options);

#endif
