/*
 * option_table - the rows that the command line, the environment and --help are made of:
 * one for each option, one for each command.
 *
 * Threads: constant. Ownership: static.
 */
#ifndef SLUICE_SERVER_OPTION_TABLE_H
#define SLUICE_SERVER_OPTION_TABLE_H

#include "server/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind {
    KIND_TEXT,
    KIND_COUNT,  /* uint64_t, decimal */
    KIND_BYTES,  /* uint64_t, decimal; K, M, G behind it for powers of 1024 */
    KIND_NUMBER, /* double */
    KIND_BOOL,   /* bool; a bare flag makes it true */
    KIND_NOT,    /* bool; a bare flag makes it false */
};

struct option {
    const char *flag;
    const char *value; /* what help calls its value; NULL: a switch, which needs none */
    enum kind kind;
    unsigned commands;    /* that take it */
    uint64_t low, high;   /* of COUNT and NUMBER */
    const char *fallback; /* the default, as one would write it; NULL: 0, NULL or false */
    const char *help;
    size_t offset; /* into struct options */
    char letter;   /* of the short form; 0: none */
    bool required;
};

struct command_row {
    enum command command;
    const char *name, *arguments, *summary;
};

enum { OPTION_COUNT = 38, COMMAND_COUNT = 5, FLAG_MAX = 31, SOURCE_SIZE = 40 };

extern const struct option option_table[OPTION_COUNT];
extern const struct command_row command_table[COMMAND_COUNT];

/* The option's environment variable: "SLUICE_MAX_BATCH". */
void option_variable(const struct option *option, char name[SOURCE_SIZE]);

#endif
