/*
 * http_report - what is logged and counted of an exchange when it has ended.
 *
 * Threads: the http threads'. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_REPORT_H
#define SLUICE_SERVER_HTTP_REPORT_H

#include "server/http_exchange.h"

/* Answered or not: writes its log line and counts it. */
void http_report(const struct http_exchange *exchange);

#endif
