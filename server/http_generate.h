/*
 * http_generate - POST /v1/generate: from a body to a job for the engine, and from the
 * job's end to an image or a problem.
 *
 * Threads: the http thread's. Ownership: the exchange keeps the job.
 */
#ifndef SLUICE_SERVER_HTTP_GENERATE_H
#define SLUICE_SERVER_HTTP_GENERATE_H

#include "api/request.h"
#include "server/http_exchange.h"

enum MHD_Result http_generate(struct http_exchange *exchange);

/* Charges the request to its key, suspends the connection and hands the request over,
 * which is taken: for every route whose answer is made of a job. exchange->model is
 * held. */
enum MHD_Result http_generate_submit(struct http_exchange *exchange,
                                     struct request *request);

enum MHD_Result http_generate_finish(struct http_exchange *exchange);

#endif
