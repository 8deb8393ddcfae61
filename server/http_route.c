#include "server/http_route.h"

#include "server/http_generate.h"
#include "server/http_operator.h"

static const struct http_route routes[ROUTE_COUNT] = {
    [ROUTE_GENERATE] = {.answer = http_generate,
                        .finish = http_generate_finish,
                        .needs_key = true,
                        .takes_json = true,
                        .gives = "image/png"},
    [ROUTE_LIVE] = {.answer = http_operator_live, .is_quiet = true},
    [ROUTE_READY] = {.answer = http_operator_ready, .is_quiet = true},
    [ROUTE_METRICS] = {.answer = http_operator_metrics, .is_quiet = true},
};

const struct http_route *http_route(enum route route)
{
    return &routes[route];
}
