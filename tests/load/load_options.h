/*
 * load_options - what the load generator is told on its command line.
 *
 * Threads: one. Ownership: texts are argv's; bodies' fields are the struct's, freed by
 * load_options_finish.
 */
#ifndef SLUICE_TESTS_LOAD_LOAD_OPTIONS_H
#define SLUICE_TESTS_LOAD_LOAD_OPTIONS_H

#include "base/err.h"

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { LOAD_TARGETS = 8, LOAD_MIXES = 16, LOAD_HEADERS = 8 };

struct target {
    const char *name; /* host:port, as given */
    struct sockaddr_storage address;
    socklen_t address_length;
};

/* One kind of request: a share of all, and the members of its JSON object. */
struct mix {
    double weight;
    char *fields;         /* such as `,"steps":4,"deadline_ms":2000` */
    uint32_t deadline_ms; /* 0: none */
    uint32_t steps;       /* 0: not asked for */
};

struct load_options {
    struct target targets[LOAD_TARGETS];
    struct mix mixes[LOAD_MIXES];
    const char *headers[LOAD_HEADERS]; /* whole lines */
    size_t target_count, mix_count, header_count;
    double rate;        /* requests a second; 0 in a closed loop */
    uint64_t clients;   /* of a closed loop; 0 in an open one */
    double seconds;     /* of sending; 0: until `count` */
    uint64_t count;     /* requests; 0: until `seconds` */
    double patience;    /* seconds until a request without an answer is given up */
    double leave_share; /* of the clients, which leave after leave_seconds */
    double leave_seconds;
    uint64_t first_seed, random_seed, prompts;
    const char *prompt, *get, *entries;
    bool constant, new_connections;
    bool wants_help;
};

/* The command's help, on stdout. */
void load_options_help(void);

enum err_code
load_options_parse(struct load_options *out, int argc, char **argv, struct err *err);
void load_options_finish(struct load_options *options);

#endif
