/*
 * http_query - GET /v1/generate: images by a query, which caches may keep.
 *
 * The strong entity tag is known before the image is: a condition on it is answered
 * without computing, and queries for the same image that come while it is made share it.
 *
 * Threads: the http thread's. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_QUERY_H
#define SLUICE_SERVER_HTTP_QUERY_H

#include "server/http_exchange.h"

/* Its finish is http_generate_finish. */
enum MHD_Result http_query(struct http_exchange *exchange);

#endif
