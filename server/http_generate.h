/*
 * http_generate - POST /v1/generate: from a body to images, in the form that the client
 * wants; and what the other routes that make images share with it.
 *
 * Threads: the http thread's. Ownership: none.
 */
#ifndef SLUICE_SERVER_HTTP_GENERATE_H
#define SLUICE_SERVER_HTTP_GENERATE_H

#include "api/request.h"
#include "server/http_exchange.h"
#include "server/http_images.h"

#include <stdbool.h>

/* Whether the Accept header allows some form. */
bool http_generate_check(struct http_exchange *exchange);

enum MHD_Result http_generate(struct http_exchange *exchange);
enum MHD_Result http_generate_finish(struct http_exchange *exchange);

/* Takes the present model for the exchange; false, with a problem, while the server
 * refuses new work. */
bool http_generate_open(struct http_exchange *exchange);

/* Charges the key and begins. Takes the request over; a refusal is answered. */
enum MHD_Result http_generate_submit(struct http_exchange *exchange,
                                     struct request *request,
                                     const char *tag,
                                     const struct http_events *events);

/* Gives back what the key paid for and was not computed, once the images are over: a
 * stream that is left before pays in full. */
void http_generate_settle(struct http_exchange *exchange);

/* What has come of the images: true when all are there, or when a stream tells of them.
 * Else *result is what to return from the route's finish. */
bool http_generate_is_done(struct http_exchange *exchange, enum MHD_Result *result);

/* Begins the answer that is a stream. */
enum MHD_Result http_generate_stream(struct http_exchange *exchange);

/* The first image as image/png, with headers that say what was done. */
enum MHD_Result http_generate_png(struct http_exchange *exchange);

/* All images in this form, which is not FORM_EVENTS. */
enum MHD_Result http_generate_give(struct http_exchange *exchange);

/* Events in our own words. */
extern const struct http_events http_generate_events;

#endif
