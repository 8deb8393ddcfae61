#include "server/http_route.h"

#include "server/http_about.h"
#include "server/http_asset.h"
#include "server/http_generate.h"
#include "server/http_openai.h"
#include "server/http_operator.h"
#include "server/http_query.h"
#include "server/http_sdapi.h"
#include "server/http_verify.h"

static const struct http_route routes[ROUTE_COUNT] = {
    [ROUTE_GENERATE] = {http_generate_check, http_generate, http_generate_finish, true,
                        false},
    [ROUTE_GENERATE_GET] = {http_generate_check, http_query, http_generate_finish, true,
                            false},
    [ROUTE_MODEL] = {NULL, http_about_model, NULL, true, false},
    [ROUTE_ESTIMATE] = {NULL, http_about_estimate, http_about_estimate_finish, true,
                        false},
    [ROUTE_VERIFY] = {NULL, http_verify, http_verify_finish, true, false},
    [ROUTE_OPENAI_IMAGES] = {NULL, http_openai, http_openai_finish, true, false},
    [ROUTE_OPENAI_MODELS] = {NULL, http_openai_models, NULL, true, false},
    [ROUTE_TXT2IMG] = {NULL, http_sdapi, http_sdapi_finish, true, false},
    [ROUTE_PROGRESS] = {NULL, http_sdapi_progress, http_sdapi_progress_finish, true,
                        true},
    [ROUTE_OPTIONS] = {NULL, http_sdapi_options, NULL, true, false},
    [ROUTE_SD_MODELS] = {NULL, http_sdapi_models, NULL, true, false},
    [ROUTE_SAMPLERS] = {NULL, http_sdapi_samplers, NULL, true, false},
    [ROUTE_OPENAPI_JSON] = {NULL, http_asset_openapi_json, NULL, false, false},
    [ROUTE_OPENAPI_YAML] = {NULL, http_asset_openapi_yaml, NULL, false, false},
    [ROUTE_PAGE] = {NULL, http_asset_page, NULL, false, false},
    [ROUTE_LIVE] = {NULL, http_operator_live, NULL, false, true},
    [ROUTE_READY] = {NULL, http_operator_ready, NULL, false, true},
    [ROUTE_METRICS] = {NULL, http_operator_metrics, NULL, false, true},
};

const struct http_route *http_route(enum route route)
{
    return &routes[route];
}
