/*
 * options - the command line and the environment: one table, from which parsing, ranges,
 * SLUICE_* names and --help are made.
 *
 * A flag wins over its environment variable, which wins over the default. An empty
 * variable counts as absent, and those of other commands are not looked at. A variable
 * whose value begins with "tcp://" is ignored with a warning: Kubernetes sets such ones
 * for a Service named sluice.
 *
 * Threads: parsed before other threads start, constant afterwards. Ownership: texts are
 * borrowed from argv and the environment.
 */
#ifndef SLUICE_SERVER_OPTIONS_H
#define SLUICE_SERVER_OPTIONS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum command {
    COMMAND_SERVE = 1,
    COMMAND_GENERATE = 2,
    COMMAND_INSPECT = 4,
    COMMAND_HEALTHCHECK = 8,
    COMMAND_BENCH = 16,
};

struct options {
    enum command command;
    const char *model;   /* folder */
    const char *kernels; /* a name, or "" */

    const char *host;
    uint64_t port, admin_port; /* 0: any free one */
    uint64_t workers;          /* 0: one per processor that the cgroup grants */
    uint64_t max_batch;        /* requests stepped by one round */
    uint64_t max_round;        /* milliseconds that a batch of steps may take */
    uint64_t queue;            /* requests that wait, beyond those that run */
    const char *cors_origin;   /* "": no other origin's pages may ask */
    const char *public_url;    /* "": no links are given */
    uint64_t max_wait;         /* seconds that a newcomer may have to wait */
    uint64_t max_steps;
    uint64_t max_pixels;                 /* 0: the model's own limit */
    uint64_t context_cache;              /* bytes of encoded prompts kept */
    uint64_t memory_limit;               /* bytes; 0: the cgroup's or the machine's */
    uint64_t drain_delay, drain_timeout; /* seconds */
    uint64_t header_timeout, body_timeout, response_timeout; /* seconds */
    const char *api_keys;                                    /* a file; "": no keys */
    bool metrics_on_service, png_text, allow_half_close;

    const char *prompt, *negative_prompt; /* "" when absent */
    const char *seed;                     /* NULL: drawn */
    uint64_t steps, width, height;        /* 0: the model's default */
    double guidance;                      /* 0: the model's default */
    const char *solver;
    const char *output; /* a file's path */

    bool digest; /* inspect: read all weights for it */

    uint64_t seconds; /* bench: about how long */
    uint64_t threads; /* bench: that share each piece of work */
    bool json;        /* bench: for programs */
};

enum options_outcome { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION };

/* argv[1] is the command. *outcome says what is asked for; for OPTIONS_HELP out->command
 * may be 0 (general help). Warnings go to `warnings`. ERR_INVALID names the option, its
 * range and what was found. */
enum err_code options_parse(struct options *out,
                            enum options_outcome *outcome,
                            int argc,
                            char *const *argv,
                            FILE *warnings,
                            struct err *err);

/* The help of a command, or of all (0). */
void options_help(enum command command, FILE *out);

#endif
