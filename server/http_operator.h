/*
 * http_operator - probes and metrics.
 *
 * Threads: the http threads'. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_OPERATOR_H
#define SLUICE_SERVER_HTTP_OPERATOR_H

#include "server/http_exchange.h"

/* 200 while the engine's loop turns. */
enum MHD_Result http_operator_live(struct http_exchange *exchange);

/* The same, but 503 as soon as the server is asked to end. */
enum MHD_Result http_operator_ready(struct http_exchange *exchange);

enum MHD_Result http_operator_metrics(struct http_exchange *exchange);

#endif
