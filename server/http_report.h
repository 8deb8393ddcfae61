/*
 * http_report - the log line and the count of a request that has ended.
 *
 * Threads: the http thread's. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_REPORT_H
#define SLUICE_SERVER_HTTP_REPORT_H

#include "server/http_exchange.h"

/* outcome: "client-gone", "too-slow" or "shutdown" when the client did not get its whole
 * answer, or did not send its whole request; else NULL. A request whose head never came
 * is none. */
void http_report(struct http_exchange *exchange, const char *outcome);

#endif
