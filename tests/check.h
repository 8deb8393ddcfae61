/*
 * check - the whole test framework: a test is a program, failing is exiting with 1.
 *
 * Threads: any. Ownership: none.
 */
#ifndef SLUICE_TESTS_CHECK_H
#define SLUICE_TESTS_CHECK_H

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                                      \
    do {                                                                                 \
        if (!(cond)) {                                                                   \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);             \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

/* CHECK_OK(call(..., &err), err): the call succeeds, or the test prints why not. */
#define CHECK_OK(call, err)                                                              \
    do {                                                                                 \
        if ((call) != ERR_OK) {                                                          \
            (void)fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call,          \
                          (err).message);                                                \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

#endif
