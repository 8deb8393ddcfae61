/*
 * http_answer - sends answers: the headers that all have, problems, texts.
 *
 * Threads: the http thread's. Ownership: a buf that is sent is taken over.
 */
#ifndef SLUICE_SERVER_HTTP_ANSWER_H
#define SLUICE_SERVER_HTTP_ANSWER_H

#include "base/buf.h"
#include "server/http_exchange.h"

#include <microhttpd.h>

#include <stdbool.h>

enum {
    HTTP_ANSWER_MAX_TEXT = 1024 * 1024,
    HTTP_ANSWER_MAX_IMAGES = 512 * 1024 * 1024, /* of base64 in JSON */
};

/* A response that has the buf's bytes; NULL without memory, or when the buf failed. */
struct MHD_Response *http_answer_from(struct http_exchange *exchange, struct buf *body);

/* Queues the response with the headers that every answer has, and lets go of it. NULL
 * becomes a problem with 500; where a problem cannot be made, the connection is closed.
 */
enum MHD_Result http_answer_send(struct http_exchange *exchange,
                                 struct MHD_Response *response,
                                 const char *content_type,
                                 int status);

/* Whether it is the question of a browser whether another origin's page may ask (Fetch,
 * "CORS-preflight request"), which is answered when such pages are allowed. */
bool http_answer_is_preflight(const struct http_exchange *exchange);
enum MHD_Result http_answer_preflight(struct http_exchange *exchange);

/* exchange->problem, in its dialect. */
enum MHD_Result http_answer_problem(struct http_exchange *exchange);

/* 200 with application/json. */
enum MHD_Result http_answer_json(struct http_exchange *exchange, struct buf *body);

enum MHD_Result
http_answer_text(struct http_exchange *exchange, int status, const char *text);

#endif
