/*
 * http_asset - the page and the description of the API.
 *
 * Threads: the http thread's. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_ASSET_H
#define SLUICE_SERVER_HTTP_ASSET_H

#include "server/http_exchange.h"

enum MHD_Result http_asset_page(struct http_exchange *exchange);
enum MHD_Result http_asset_openapi_json(struct http_exchange *exchange);
enum MHD_Result http_asset_openapi_yaml(struct http_exchange *exchange);

#endif
