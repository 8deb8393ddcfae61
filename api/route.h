/*
 * route - which resource a method and a path name: one table for both ports.
 *
 * Threads: pure functions over a constant table. Ownership: none.
 */
#ifndef SLUICE_API_ROUTE_H
#define SLUICE_API_ROUTE_H

#include "api/dialect.h"
#include "api/problem.h"

#include <stdbool.h>

enum route {
    ROUTE_GENERATE,
    ROUTE_GENERATE_GET,
    ROUTE_MODEL,
    ROUTE_ESTIMATE,
    ROUTE_VERIFY,
    ROUTE_OPENAI_IMAGES,
    ROUTE_OPENAI_MODELS,
    ROUTE_TXT2IMG,
    ROUTE_PROGRESS,
    ROUTE_OPTIONS,
    ROUTE_SD_MODELS,
    ROUTE_SAMPLERS,
    ROUTE_OPENAPI_JSON,
    ROUTE_OPENAPI_YAML,
    ROUTE_PAGE,
    ROUTE_LIVE,
    ROUTE_READY,
    ROUTE_METRICS,
    ROUTE_COUNT
};

enum route_port { ROUTE_SERVICE = 1, ROUTE_OPERATOR = 2 };

enum route_body { ROUTE_NO_BODY, ROUTE_JSON_BODY, ROUTE_PNG_BODY };

/* Finds the route of a request that came in on `port`. HEAD is found where GET is. On
 * false *problem is 404, or 405 with `allow` filled. probes_on_service: whether the
 * operator's routes are there on the service's port as well. */
bool route_find(enum route *out,
                const char *method,
                const char *path,
                enum route_port port,
                bool probes_on_service,
                struct problem *problem);

/* What a request of the route carries. */
enum route_body route_body(enum route route);

/* In which words a request of this path is refused, be there a route or not. */
enum dialect route_dialect(const char *path);

/* What logs and metrics call the route: its path as it stands in the table, and the
 * method in front of it where another route has that path: "GET /v1/generate". */
const char *route_path(enum route route);

#endif
