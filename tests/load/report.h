/*
 * report - a ledger in figures: JSON for programs, a table for people.
 *
 * Latencies count from the instant a request was due; quantiles are exact (the smallest
 * value that so large a share does not exceed).
 *
 * Threads: one. Ownership: the ledger is borrowed.
 */
#ifndef SLUICE_TESTS_LOAD_REPORT_H
#define SLUICE_TESTS_LOAD_REPORT_H

#include "tests/load/ledger.h"

#include <stdio.h>

enum err_code report_json(const struct ledger *ledger, FILE *out, struct err *err);
enum err_code report_table(const struct ledger *ledger, FILE *out, struct err *err);

#endif
