/*
 * http_sdapi - as much of Automatic1111's API as its common clients use.
 *
 * Threads: the http thread's. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_SDAPI_H
#define SLUICE_SERVER_HTTP_SDAPI_H

#include "server/http_exchange.h"

enum MHD_Result http_sdapi(struct http_exchange *exchange);
enum MHD_Result http_sdapi_finish(struct http_exchange *exchange);

/* Of the request that has run longest: the engine is asked. */
enum MHD_Result http_sdapi_progress(struct http_exchange *exchange);
enum MHD_Result http_sdapi_progress_finish(struct http_exchange *exchange);

enum MHD_Result http_sdapi_options(struct http_exchange *exchange);
enum MHD_Result http_sdapi_models(struct http_exchange *exchange);
enum MHD_Result http_sdapi_samplers(struct http_exchange *exchange);

#endif
