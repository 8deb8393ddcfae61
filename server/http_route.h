/*
 * http_route - what each route does: one row a route (api/route.h has their paths).
 *
 * Threads: constant. Ownership: static.
 */
#ifndef SLUICE_SERVER_HTTP_ROUTE_H
#define SLUICE_SERVER_HTTP_ROUTE_H

#include "api/route.h"
#include "server/http_exchange.h"

#include <stdbool.h>

struct http_route {
    /* The head is there: whether its answer could be acceptable; NULL: it is. On false
     * exchange->problem says why not. */
    bool (*check)(struct http_exchange *exchange);
    /* The whole request is there: answers, or suspends and hands over to the engine. */
    enum MHD_Result (*answer)(struct http_exchange *exchange);
    /* The engine is done; NULL for a route that never waits for it. */
    enum MHD_Result (*finish)(struct http_exchange *exchange);
    bool needs_key; /* when the server asks for keys at all */
    bool is_quiet;  /* not logged while all is well: probes come every second */
};

const struct http_route *http_route(enum route route);

#endif
