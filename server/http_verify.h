/*
 * http_verify - POST /v1/verify: a PNG of ours is made again from its own parameters, and
 * compared.
 *
 * Threads: the http thread's. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_VERIFY_H
#define SLUICE_SERVER_HTTP_VERIFY_H

#include "server/http_exchange.h"

enum MHD_Result http_verify(struct http_exchange *exchange);
enum MHD_Result http_verify_finish(struct http_exchange *exchange);

#endif
