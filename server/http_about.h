/*
 * http_about - what may be known before asking for an image: GET /v1/model and POST
 * /v1/estimate.
 *
 * Threads: the http thread's. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_ABOUT_H
#define SLUICE_SERVER_HTTP_ABOUT_H

#include "server/http_exchange.h"

enum MHD_Result http_about_model(struct http_exchange *exchange);

/* The engine decides as it would if the request came now, and does nothing. */
enum MHD_Result http_about_estimate(struct http_exchange *exchange);
enum MHD_Result http_about_estimate_finish(struct http_exchange *exchange);

#endif
