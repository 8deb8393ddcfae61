/*
 * load_run - the loop that sends what the schedule says and fills the ledger: epoll over
 * every connection, a timer for the next instant at which something is due.
 *
 * Threads: one. Ownership: the ledger is the caller's.
 */
#ifndef SLUICE_TESTS_LOAD_LOAD_RUN_H
#define SLUICE_TESTS_LOAD_LOAD_RUN_H

#include "tests/load/ledger.h"

/* Sends everything and waits for what becomes of it. */
enum err_code load_run(struct ledger *ledger, struct err *err);

#endif
