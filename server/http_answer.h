/*
 * http_answer - what goes back on an exchange: bytes, a text, or a problem.
 *
 * Threads: the http thread's. Ownership: bodies are taken over.
 */
#ifndef SLUICE_SERVER_HTTP_ANSWER_H
#define SLUICE_SERVER_HTTP_ANSWER_H

#include "base/buf.h"
#include "server/http_exchange.h"

#include <microhttpd.h>

enum { HTTP_ANSWER_MAX_TEXT = 1024 * 1024 };

/* Hands the buf's bytes to a new response, to which headers may be added; NULL without
 * memory. */
struct MHD_Response *http_answer_from(struct http_exchange *exchange, struct buf *body);

/* Queues the response with the headers that every answer has, and lets go of it. NULL
 * closes the connection. */
enum MHD_Result http_answer_send(struct http_exchange *exchange,
                                 struct MHD_Response *response,
                                 const char *content_type,
                                 int status);

/* A line of text. */
enum MHD_Result
http_answer_text(struct http_exchange *exchange, int status, const char *text);

/* exchange->problem. */
enum MHD_Result http_answer_problem(struct http_exchange *exchange);

#endif
