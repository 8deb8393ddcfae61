/*
 * route - which resource a method and a path name: one table for both ports.
 *
 * Threads: pure functions over a constant table. Ownership: none.
 */
#ifndef SLUICE_API_ROUTE_H
#define SLUICE_API_ROUTE_H

#include "api/problem.h"

#include <stdbool.h>

enum route { ROUTE_GENERATE, ROUTE_LIVE, ROUTE_READY, ROUTE_METRICS, ROUTE_COUNT };

enum route_port { ROUTE_SERVICE = 1, ROUTE_OPERATOR = 2 };

/* Finds the route of a request that came in on `port`. HEAD is found where GET is. On
 * false *problem is 404, or 405 with `allow` filled. probes_on_service: whether the
 * operator's routes are there on the service's port as well. */
bool route_find(enum route *out,
                const char *method,
                const char *path,
                enum route_port port,
                bool probes_on_service,
                struct problem *problem);

/* The path as it stands in the table, for logs and metrics: "/v1/generate". */
const char *route_path(enum route route);

#endif
