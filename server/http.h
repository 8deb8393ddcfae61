/*
 * http - the service's and the operator's port: libmicrohttpd, one thread each.
 *
 * A request for an image is parsed and checked here, its connection suspended, and its
 * job handed to the engine; the job's end resumes the connection, once. Everything else
 * is answered at once. The operator's port has a daemon of its own, so that probes and
 * metrics answer when the service's connections are used up.
 *
 * Threads: create, drain, refuse and destroy by one thread, in this order. Ownership: new
 * from http_create, freed by http_destroy; engine, metrics, shelf and keys are borrowed.
 */
#ifndef SLUICE_SERVER_HTTP_H
#define SLUICE_SERVER_HTTP_H

#include "api/route.h"
#include "base/err.h"
#include "server/api_keys.h"
#include "server/engine.h"
#include "server/metrics.h"
#include "server/served_model.h"

#include <stdbool.h>
#include <stdint.h>

struct http_setting {
    const char *host;          /* a name or an address to listen on, for both ports */
    uint16_t port, admin_port; /* 0: any free one */
    unsigned connections;      /* of the service's port */
    bool metrics_on_service;   /* probes and metrics on the service's port too */
    bool allow_half_close;     /* a client that sends no more may wait for its answer */
    /* Seconds that a client may take for a request's head, its body, and its answer. */
    uint64_t header_timeout, body_timeout, response_timeout;
    struct api_keys *keys; /* NULL: everybody may ask */
    const char *version;
    const char *cors_origin;   /* whose pages may ask: an origin, or "*"; "": none */
    const char *public_url;    /* of the service, for links; "": none are given */
    struct model_shelf *shelf; /* where the present model stands */
    struct engine *engine;
    struct metrics *metrics;
};

struct http;

enum err_code
http_create(struct http **out, const struct http_setting *setting, struct err *err);

/* The port that was bound. */
uint16_t http_port(const struct http *http, enum route_port port);

/* Readiness fails from now on, and answers ask the client to close the connection;
 * requests are still served. */
void http_start_draining(struct http *http);

/* No new connections; requests on those that live on get 503. */
void http_refuse(struct http *http);

/* Waits until every request that the engine was given has its answer sent, at most this
 * long. True when all have. */
bool http_wait_answered(struct http *http, uint64_t milliseconds);

/* Closes what is left. No job may be with the engine any more. NULL is accepted. */
void http_destroy(struct http *http);

#endif
