#include "api/route.h"

#include <stddef.h>
#include <string.h>

enum method { METHOD_GET, METHOD_POST };

static const struct {
    const char *allow;
    const char *names[2];
} methods[] = {
    [METHOD_GET] = {"GET, HEAD", {"GET", "HEAD"}},
    [METHOD_POST] = {"POST", {"POST", "POST"}},
};

/* A route's first row holds the path it is known by. */
static const struct {
    const char *path;
    enum method method;
    enum route route;
    enum route_port home; /* the operator's are on the service's port by option */
} resources[] = {
    {"/v1/generate", METHOD_POST, ROUTE_GENERATE, ROUTE_SERVICE},
    {"/livez", METHOD_GET, ROUTE_LIVE, ROUTE_OPERATOR},
    {"/readyz", METHOD_GET, ROUTE_READY, ROUTE_OPERATOR},
    {"/healthz", METHOD_GET, ROUTE_READY, ROUTE_OPERATOR},
    {"/metrics", METHOD_GET, ROUTE_METRICS, ROUTE_OPERATOR},
};

enum { RESOURCE_COUNT = sizeof(resources) / sizeof(resources[0]) };

static bool has_method(enum method row, const char *method)
{
    return strcmp(method, methods[row].names[0]) == 0 ||
           strcmp(method, methods[row].names[1]) == 0;
}

bool route_find(enum route *out,
                const char *method,
                const char *path,
                enum route_port port,
                bool probes_on_service,
                struct problem *problem)
{
    for (size_t i = 0; i < RESOURCE_COUNT; i++) {
        enum route_port home = resources[i].home;
        bool is_here = port == home || (home == ROUTE_OPERATOR && probes_on_service);
        if (!is_here || strcmp(path, resources[i].path) != 0)
            continue;
        const char *allow = methods[resources[i].method].allow;
        if (!has_method(resources[i].method, method)) {
            (void)problem_set(problem, PROBLEM_METHOD, NULL,
                              "%s: expected %s, found %.16s", resources[i].path, allow,
                              method);
            problem->allow = allow;
            return false;
        }
        *out = resources[i].route;
        return true;
    }
    return problem_set(problem, PROBLEM_NOT_FOUND, NULL, "there is nothing at %.128s",
                       path);
}

const char *route_path(enum route route)
{
    size_t i = 0;
    while (i < RESOURCE_COUNT - 1 && resources[i].route != route)
        i++;
    return resources[i].path;
}
