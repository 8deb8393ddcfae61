/*
 * http_openai - OpenAI's image API: POST /v1/images/generations and GET /v1/models.
 *
 * Threads: the http thread's, but for events, which the engine's thread tells. Ownership:
 * none.
 */
#ifndef SLUICE_SERVER_HTTP_OPENAI_H
#define SLUICE_SERVER_HTTP_OPENAI_H

#include "server/http_exchange.h"

enum MHD_Result http_openai(struct http_exchange *exchange);
enum MHD_Result http_openai_finish(struct http_exchange *exchange);
enum MHD_Result http_openai_models(struct http_exchange *exchange);

#endif
