/*
 * http_generate - POST /v1/generate: from a body to a job, and from a job to a PNG.
 *
 * Threads: the http thread's. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_GENERATE_H
#define SLUICE_SERVER_HTTP_GENERATE_H

#include "server/http_exchange.h"

/* What the headers ask for, before the body is read. */
bool http_generate_check(struct http_exchange *exchange);

/* The body is there: refuses, or hands a job to the engine. */
enum MHD_Result http_generate_start(struct http_exchange *exchange);

/* The job is done. */
enum MHD_Result http_generate_answer(struct http_exchange *exchange);

#endif
