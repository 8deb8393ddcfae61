#include "server/http_asset.h"

#include "api/asset.h"
#include "api/page_policy.h"
#include "server/http_answer.h"

enum { MAX_POLICY = 4096 };

static enum MHD_Result give(struct http_exchange *exchange,
                            const struct asset *asset,
                            struct MHD_Response *response)
{
    exchange->answer_bytes = asset->length;
    exchange->cache_control = "no-cache";
    return http_answer_send(exchange, response, asset->content_type, 200);
}

/* The library takes a pointer to what it may change, and does not with this mode. */
static struct MHD_Response *response_of(const struct asset *asset)
{
    union {
        const void *constant;
        void *given;
    } data = {.constant = asset->data};
    return MHD_create_response_from_buffer(asset->length, data.given,
                                           MHD_RESPMEM_PERSISTENT);
}

enum MHD_Result http_asset_page(struct http_exchange *exchange)
{
    static const struct {
        const char *name, *value;
    } headers[] = {
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
    };
    struct buf policy;
    struct MHD_Response *response = response_of(&asset_page);
    buf_init(&policy, MAX_POLICY);
    /* Without its policy the page is not given. */
    if (response != NULL &&
        (!page_policy_write(asset_page.data, asset_page.length, &policy) ||
         policy.failed ||
         MHD_add_response_header(response, "Content-Security-Policy", policy.data) !=
             MHD_YES)) {
        MHD_destroy_response(response);
        response = NULL;
    }
    buf_finish(&policy);
    for (size_t i = 0; response != NULL && i < sizeof(headers) / sizeof(headers[0]); i++)
        (void)MHD_add_response_header(response, headers[i].name, headers[i].value);
    return give(exchange, &asset_page, response);
}

enum MHD_Result http_asset_openapi_json(struct http_exchange *exchange)
{
    return give(exchange, &asset_openapi_json, response_of(&asset_openapi_json));
}

enum MHD_Result http_asset_openapi_yaml(struct http_exchange *exchange)
{
    return give(exchange, &asset_openapi_yaml, response_of(&asset_openapi_yaml));
}
