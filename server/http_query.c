#include "server/http_query.h"

#include "api/cacheable.h"
#include "api/request_query.h"
#include "server/http_answer.h"
#include "server/http_generate.h"

#include <string.h>

/* What stands behind the target's "?". */
static const char *find_query(const struct http_exchange *exchange)
{
    const char *mark = exchange->target == NULL ? NULL : strchr(exchange->target, '?');
    return mark == NULL ? "" : mark + 1;
}

/* The tag, and what caches are told. */
static bool
make_cacheable(struct http_exchange *exchange, const struct request *request, bool pinned)
{
    const struct round_setting *round = &exchange->model->round;
    const struct bundle_info *info = bundle_info(round->bundle);
    const struct cacheable_build build = {
        .model_name = info->name,
        .model_digest = info->digest,
        .version = round->version,
        .arithmetic = info->arithmetic,
        .has_text = round->png_text,
    };
    exchange->cache_control = cacheable_control(pinned, exchange->key != NULL);
    return cacheable_tag(exchange->tag, request, &build, &exchange->problem);
}

/* Of an image that was not computed; never called, as neither HEAD nor 304 has a body. */
static ssize_t read_nothing(void *context, uint64_t position, char *out, size_t most)
{
    (void)context;
    (void)position;
    (void)out;
    (void)most;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

/* No body: the client has it, or wants only to know. Nor is its length told: caches would
 * drop what they hold for a HEAD's that differs (RFC 9111, section 4.3.5). On a
 * connection that is kept, libmicrohttpd 0.9.75 would send the last chunk of a body that
 * is none. */
static enum MHD_Result answer_without(struct http_exchange *exchange, int status)
{
    enum { BLOCK = 1 };
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK, read_nothing, NULL, NULL);
    if (response != NULL)
        (void)MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT,
                                       MHD_RO_END);
    return http_answer_send(exchange, response, form_type(exchange->form), status);
}

/* Whether the client says that it has the image. Without memory it is sent again. */
static bool is_known_to_client(const struct http_exchange *exchange)
{
    struct buf tags;
    if (exchange->tag[0] == '\0')
        return false;
    http_exchange_lines(exchange, "If-None-Match", &tags);
    bool is_known = !tags.failed && cacheable_matches(tags.data, exchange->tag);
    buf_finish(&tags);
    return is_known;
}

static enum MHD_Result begin(struct http_exchange *exchange, struct request *request)
{
    bool is_head = strcmp(exchange->method, "HEAD") == 0;
    bool is_known = is_known_to_client(exchange);
    if (!is_known && !is_head)
        return http_generate_submit(exchange, request, exchange->tag,
                                    exchange->form == FORM_EVENTS ? &http_generate_events
                                                                  : NULL);
    request_finish(request);
    return answer_without(exchange, is_known ? 304 : 200);
}

enum MHD_Result http_query(struct http_exchange *exchange)
{
    struct request request;
    char model[REQUEST_MODEL_SIZE];
    const char *query = find_query(exchange), *accept = http_exchange_accept(exchange);
    struct problem *problem = &exchange->problem;
    if (!http_generate_open(exchange))
        return http_answer_problem(exchange);
    struct request_limits limits = exchange->model->limits;
    limits.allows_previews = form_allows_previews(accept);
    if (!request_query_parse(&request, model, query, strlen(query), &limits, problem))
        return http_answer_problem(exchange);
    const char *loaded = bundle_info(exchange->model->round.bundle)->digest;
    bool is_right = cacheable_check_model(model, loaded, problem) &&
                    form_choose(&exchange->form, accept, &request, problem);
    if (is_right && exchange->form == FORM_PNG)
        is_right = make_cacheable(exchange, &request, model[0] != '\0');
    if (is_right)
        return begin(exchange, &request);
    request_finish(&request);
    return http_answer_problem(exchange);
}
