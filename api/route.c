#include "api/route.h"

#include <stddef.h>
#include <string.h>

/* One bit each, so that what a path has adds up. */
enum method { METHOD_GET = 1, METHOD_POST = 2 };

/* By the bits: what a 405 says in Allow. */
static const char *const allowed[] = {
    [METHOD_GET] = "GET, HEAD",
    [METHOD_POST] = "POST",
    [METHOD_GET | METHOD_POST] = "GET, HEAD, POST",
};

/* A route's first row holds the path it is known by. */
static const struct {
    const char *path;
    enum method method;
    enum route route;
    enum route_port home; /* the operator's are on the service's port by option */
    enum route_body body;
} resources[] = {
    {"/v1/generate", METHOD_POST, ROUTE_GENERATE, ROUTE_SERVICE, ROUTE_JSON_BODY},
    {"/v1/generate", METHOD_GET, ROUTE_GENERATE_GET, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/v1/model", METHOD_GET, ROUTE_MODEL, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/v1/estimate", METHOD_POST, ROUTE_ESTIMATE, ROUTE_SERVICE, ROUTE_JSON_BODY},
    {"/v1/verify", METHOD_POST, ROUTE_VERIFY, ROUTE_SERVICE, ROUTE_PNG_BODY},
    {"/v1/images/generations", METHOD_POST, ROUTE_OPENAI_IMAGES, ROUTE_SERVICE,
     ROUTE_JSON_BODY},
    {"/v1/models", METHOD_GET, ROUTE_OPENAI_MODELS, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/sdapi/v1/txt2img", METHOD_POST, ROUTE_TXT2IMG, ROUTE_SERVICE, ROUTE_JSON_BODY},
    {"/sdapi/v1/progress", METHOD_GET, ROUTE_PROGRESS, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/sdapi/v1/options", METHOD_GET, ROUTE_OPTIONS, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/sdapi/v1/sd-models", METHOD_GET, ROUTE_SD_MODELS, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/sdapi/v1/samplers", METHOD_GET, ROUTE_SAMPLERS, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/openapi.json", METHOD_GET, ROUTE_OPENAPI_JSON, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/openapi.yaml", METHOD_GET, ROUTE_OPENAPI_YAML, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/", METHOD_GET, ROUTE_PAGE, ROUTE_SERVICE, ROUTE_NO_BODY},
    {"/livez", METHOD_GET, ROUTE_LIVE, ROUTE_OPERATOR, ROUTE_NO_BODY},
    {"/readyz", METHOD_GET, ROUTE_READY, ROUTE_OPERATOR, ROUTE_NO_BODY},
    {"/healthz", METHOD_GET, ROUTE_READY, ROUTE_OPERATOR, ROUTE_NO_BODY},
    {"/metrics", METHOD_GET, ROUTE_METRICS, ROUTE_OPERATOR, ROUTE_NO_BODY},
};

enum { RESOURCE_COUNT = sizeof(resources) / sizeof(resources[0]) };

static bool has_method(enum method row, const char *method)
{
    if (row == METHOD_POST)
        return strcmp(method, "POST") == 0;
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

bool route_find(enum route *out,
                const char *method,
                const char *path,
                enum route_port port,
                bool probes_on_service,
                struct problem *problem)
{
    unsigned there = 0;
    for (size_t i = 0; i < RESOURCE_COUNT; i++) {
        enum route_port home = resources[i].home;
        bool is_here = port == home || (home == ROUTE_OPERATOR && probes_on_service);
        if (!is_here || strcmp(path, resources[i].path) != 0)
            continue;
        if (has_method(resources[i].method, method)) {
            *out = resources[i].route;
            return true;
        }
        there |= resources[i].method;
    }
    if (there == 0)
        return problem_set(problem, PROBLEM_NOT_FOUND, NULL, "there is nothing at %.128s",
                           path);
    (void)problem_set(problem, PROBLEM_METHOD, NULL, "%.128s: expected %s, found %.16s",
                      path, allowed[there], method);
    problem->allow = allowed[there];
    return false;
}

/* The route's first row. */
static size_t row_of(enum route route)
{
    size_t i = 0;
    while (i < RESOURCE_COUNT - 1 && resources[i].route != route)
        i++;
    return i;
}

enum route_body route_body(enum route route)
{
    return resources[row_of(route)].body;
}

enum dialect route_dialect(const char *path)
{
    static const struct {
        const char *start;
        enum dialect dialect;
    } families[] = {
        {"/v1/images/", DIALECT_OPENAI},
        {"/v1/models", DIALECT_OPENAI},
        {"/sdapi/", DIALECT_SDAPI},
    };
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (strncmp(path, families[i].start, strlen(families[i].start)) == 0)
            return families[i].dialect;
    }
    return DIALECT_OWN;
}

const char *route_path(enum route route)
{
    return route == ROUTE_GENERATE_GET ? "GET /v1/generate"
                                       : resources[row_of(route)].path;
}
