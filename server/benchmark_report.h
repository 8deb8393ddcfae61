/*
 * benchmark_report - a benchmark's numbers for people, as tables, and for programs, as
 * JSON.
 *
 * Threads: the calling one. Ownership: all borrowed.
 */
#ifndef SLUICE_SERVER_BENCHMARK_REPORT_H
#define SLUICE_SERVER_BENCHMARK_REPORT_H

#include "server/benchmark.h"

#include <stdio.h>

/* Whose numbers they are. */
struct benchmark_subject {
    const struct bundle_info *info;
    const char *version; /* of the program */
    size_t processors;
};

void benchmark_print_tables(const struct benchmark *benchmark,
                            const struct benchmark_subject *subject,
                            FILE *out);

/* One object. Times are in milliseconds, arithmetic in 10^9 operations, shares of the
 * peak from 0 to 1. Work that was left out is absent. */
void benchmark_print_json(const struct benchmark *benchmark,
                          const struct benchmark_subject *subject,
                          FILE *out);

#endif
