/*
 * http_operator - what an operator's tools ask: probes and metrics.
 *
 * Threads: the http thread's. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_OPERATOR_H
#define SLUICE_SERVER_HTTP_OPERATOR_H

#include "server/http_exchange.h"

enum MHD_Result http_operator_live(struct http_exchange *exchange);
enum MHD_Result http_operator_ready(struct http_exchange *exchange);
enum MHD_Result http_operator_metrics(struct http_exchange *exchange);

#endif
