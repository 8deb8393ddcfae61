#include "api/route.h"
#include "tests/check.h"

#include <stddef.h>
#include <string.h>

enum { ANYWHERE = 3 };
static const struct {
    const char *method, *path;
    int port; /* ANYWHERE: on both, given probes_on_service */
    enum route route;
    enum problem_kind kind;
    const char *allow;
} rows[] = {
    {"POST", "/v1/generate", ROUTE_SERVICE, ROUTE_GENERATE, PROBLEM_NONE, NULL},
    {"POST", "/v1/generate", ROUTE_OPERATOR, 0, PROBLEM_NOT_FOUND, NULL},
    {"GET", "/livez", ANYWHERE, ROUTE_LIVE, PROBLEM_NONE, NULL},
    {"HEAD", "/livez", ANYWHERE, ROUTE_LIVE, PROBLEM_NONE, NULL},
    {"GET", "/readyz", ANYWHERE, ROUTE_READY, PROBLEM_NONE, NULL},
    {"GET", "/healthz", ANYWHERE, ROUTE_READY, PROBLEM_NONE, NULL},
    {"HEAD", "/metrics", ANYWHERE, ROUTE_METRICS, PROBLEM_NONE, NULL},
    {"GET", "/v1/generate", ROUTE_SERVICE, ROUTE_GENERATE_GET, PROBLEM_NONE, NULL},
    {"HEAD", "/v1/generate", ROUTE_SERVICE, ROUTE_GENERATE_GET, PROBLEM_NONE, NULL},
    {"post", "/v1/generate", ROUTE_SERVICE, 0, PROBLEM_METHOD, "GET, HEAD, POST"},
    {"PUT", "/v1/generate", ROUTE_SERVICE, 0, PROBLEM_METHOD, "GET, HEAD, POST"},
    {"GET", "/v1/model", ROUTE_SERVICE, ROUTE_MODEL, PROBLEM_NONE, NULL},
    {"GET", "/v1/model", ROUTE_OPERATOR, 0, PROBLEM_NOT_FOUND, NULL},
    {"POST", "/v1/estimate", ROUTE_SERVICE, ROUTE_ESTIMATE, PROBLEM_NONE, NULL},
    {"GET", "/v1/estimate", ROUTE_SERVICE, 0, PROBLEM_METHOD, "POST"},
    {"POST", "/v1/verify", ROUTE_SERVICE, ROUTE_VERIFY, PROBLEM_NONE, NULL},
    {"POST", "/v1/images/generations", ROUTE_SERVICE, ROUTE_OPENAI_IMAGES, PROBLEM_NONE,
     NULL},
    {"GET", "/v1/models", ROUTE_SERVICE, ROUTE_OPENAI_MODELS, PROBLEM_NONE, NULL},
    {"POST", "/sdapi/v1/txt2img", ROUTE_SERVICE, ROUTE_TXT2IMG, PROBLEM_NONE, NULL},
    {"GET", "/sdapi/v1/progress", ROUTE_SERVICE, ROUTE_PROGRESS, PROBLEM_NONE, NULL},
    {"GET", "/sdapi/v1/options", ROUTE_SERVICE, ROUTE_OPTIONS, PROBLEM_NONE, NULL},
    {"POST", "/sdapi/v1/options", ROUTE_SERVICE, 0, PROBLEM_METHOD, "GET, HEAD"},
    {"GET", "/sdapi/v1/sd-models", ROUTE_SERVICE, ROUTE_SD_MODELS, PROBLEM_NONE, NULL},
    {"GET", "/sdapi/v1/samplers", ROUTE_SERVICE, ROUTE_SAMPLERS, PROBLEM_NONE, NULL},
    {"GET", "/openapi.json", ROUTE_SERVICE, ROUTE_OPENAPI_JSON, PROBLEM_NONE, NULL},
    {"GET", "/openapi.yaml", ROUTE_SERVICE, ROUTE_OPENAPI_YAML, PROBLEM_NONE, NULL},
    {"GET", "/", ROUTE_SERVICE, ROUTE_PAGE, PROBLEM_NONE, NULL},
    {"GET", "/v1/generate", ROUTE_OPERATOR, 0, PROBLEM_NOT_FOUND, NULL},
    {"POST", "/metrics", ANYWHERE, 0, PROBLEM_METHOD, "GET, HEAD"},
    {"DELETE", "/livez", ANYWHERE, 0, PROBLEM_METHOD, "GET, HEAD"},
    {"", "/livez", ANYWHERE, 0, PROBLEM_METHOD, "GET, HEAD"},
    {"GET", "/", ROUTE_OPERATOR, 0, PROBLEM_NOT_FOUND, NULL},
    {"GET", "", ANYWHERE, 0, PROBLEM_NOT_FOUND, NULL},
    {"OPTIONS", "*", ANYWHERE, 0, PROBLEM_NOT_FOUND, NULL},
    {"GET", "/livez/", ANYWHERE, 0, PROBLEM_NOT_FOUND, NULL},
    {"GET", "/LIVEZ", ANYWHERE, 0, PROBLEM_NOT_FOUND, NULL},
    {"GET", "//livez", ANYWHERE, 0, PROBLEM_NOT_FOUND, NULL},
    {"GET", "/livez?verbose", ANYWHERE, 0, PROBLEM_NOT_FOUND, NULL},
    {"POST", "/v1/generate2", ANYWHERE, 0, PROBLEM_NOT_FOUND, NULL},
};

static void test_found_and_not(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int port = ROUTE_SERVICE; port <= ROUTE_OPERATOR; port++) {
            if ((rows[i].port & port) == 0)
                continue;
            enum route route = ROUTE_COUNT;
            struct problem problem = {0};
            bool found = route_find(&route, rows[i].method, rows[i].path,
                                    (enum route_port)port, true, &problem);
            CHECK(found == (rows[i].kind == PROBLEM_NONE));
            CHECK(problem.kind == rows[i].kind);
            CHECK(route == (found ? rows[i].route : ROUTE_COUNT));
            CHECK((problem.allow == NULL) == (rows[i].allow == NULL));
            CHECK(problem.allow == NULL || strcmp(problem.allow, rows[i].allow) == 0);
        }
    }
}

static void test_probes_off_the_service(void)
{
    static const char *const paths[] = {"/livez", "/readyz", "/healthz", "/metrics"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        enum route route;
        struct problem problem;
        CHECK(!route_find(&route, "GET", paths[i], ROUTE_SERVICE, false, &problem));
        CHECK(problem.kind == PROBLEM_NOT_FOUND);
        CHECK(!route_find(&route, "POST", paths[i], ROUTE_SERVICE, false, &problem));
        CHECK(problem.kind == PROBLEM_NOT_FOUND);
        CHECK(route_find(&route, "GET", paths[i], ROUTE_OPERATOR, false, &problem));
    }
}

static void test_hostile_path(void)
{
    char path[5000], method[500];
    memset(path, 0xC3, sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    memset(method, 'G', sizeof(method) - 1);
    method[sizeof(method) - 1] = '\0';
    enum route route;
    struct problem problem;
    CHECK(!route_find(&route, method, path, ROUTE_SERVICE, true, &problem));
    CHECK(problem.kind == PROBLEM_NOT_FOUND && strlen(problem.detail) < 200);
    CHECK(!route_find(&route, method, "/livez", ROUTE_SERVICE, true, &problem));
    CHECK(problem.kind == PROBLEM_METHOD && strlen(problem.detail) < 200);
}

/* Names of series in the metrics: each route has one of its own. */
static void test_paths(void)
{
    CHECK(strcmp(route_path(ROUTE_GENERATE), "/v1/generate") == 0);
    CHECK(strcmp(route_path(ROUTE_GENERATE_GET), "GET /v1/generate") == 0);
    CHECK(strcmp(route_path(ROUTE_READY), "/readyz") == 0);
    for (unsigned i = 0; i < ROUTE_COUNT; i++) {
        for (unsigned j = 0; j < i; j++)
            CHECK(strcmp(route_path((enum route)i), route_path((enum route)j)) != 0);
    }
}

static void test_bodies(void)
{
    CHECK(route_body(ROUTE_GENERATE) == ROUTE_JSON_BODY);
    CHECK(route_body(ROUTE_GENERATE_GET) == ROUTE_NO_BODY);
    CHECK(route_body(ROUTE_VERIFY) == ROUTE_PNG_BODY);
    CHECK(route_body(ROUTE_TXT2IMG) == ROUTE_JSON_BODY);
    CHECK(route_body(ROUTE_METRICS) == ROUTE_NO_BODY);
}

static void test_dialects(void)
{
    CHECK(route_dialect("/v1/generate") == DIALECT_OWN);
    CHECK(route_dialect("/v1/model") == DIALECT_OWN);
    CHECK(route_dialect("/v1/models") == DIALECT_OPENAI);
    CHECK(route_dialect("/v1/images/generations") == DIALECT_OPENAI);
    CHECK(route_dialect("/v1/images/edits") == DIALECT_OPENAI);
    CHECK(route_dialect("/sdapi/v1/img2img") == DIALECT_SDAPI);
    CHECK(route_dialect("") == DIALECT_OWN);
}

int main(void)
{
    test_found_and_not();
    test_probes_off_the_service();
    test_hostile_path();
    test_paths();
    test_bodies();
    test_dialects();
    return 0;
}
