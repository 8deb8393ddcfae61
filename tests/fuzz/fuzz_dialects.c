/* The first byte chooses who reads the rest: whatever that is gives a request that passes
 * every check, or a problem that can be written in each dialect. */
#include "api/dialect.h"
#include "api/openai.h"
#include "api/parameters.h"
#include "api/png_read.h"
#include "api/request_query.h"
#include "api/sdapi.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct request_limits limits = {
    .max_steps = 100,
    .max_pixels = 128 * 128,
    .patch = 16,
    .allows_previews = true,
    .defaults = {.steps = 20, .width = 128, .height = 128, .guidance = 3},
};

static bool read_query(const char *text, size_t size, struct problem *problem)
{
    struct request request, again;
    char model[REQUEST_MODEL_SIZE];
    if (!request_query_parse(&request, model, text, size, &limits, problem))
        return false;
    /* What is written of it is read again. */
    struct buf out;
    buf_init(&out, 1 << 20);
    request_query_write(&request, 0, NULL, &out);
    size_t length = out.length < REQUEST_MAX_QUERY ? out.length : 0;
    if (!request_check(&request, &limits, problem))
        abort();
    if (length > 0) {
        if (!request_query_parse(&again, model, out.data, length, &limits, problem))
            abort();
        request_finish(&again);
    }
    buf_finish(&out);
    request_finish(&request);
    return true;
}

static bool read_openai(const char *text, size_t size, struct problem *problem)
{
    static const struct openai_setting setting = {
        .limits = &limits, .model_name = "house", .model_digest = "0", .has_links = true};
    struct openai_request request;
    if (!openai_parse(&request, text, size, &setting, 1, problem))
        return false;
    if (!request_check(&request.request, &limits, problem))
        abort();
    openai_finish(&request);
    return true;
}

static bool read_sdapi(const char *text, size_t size, struct problem *problem)
{
    struct request request;
    if (!sdapi_parse(&request, text, size, &limits, 1, problem))
        return false;
    if (!request_check(&request, &limits, problem))
        abort();
    request_finish(&request);
    return true;
}

static bool read_parameters(const char *text, size_t size, struct problem *problem)
{
    char *copy = calloc(size + 1, 1);
    if (copy == NULL)
        abort();
    memcpy(copy, text, size);
    struct parameters parameters;
    bool is_good = parameters_read(&parameters, copy, &limits, problem);
    free(copy);
    if (is_good && !request_check(&parameters.request, &limits, problem))
        abort();
    if (is_good)
        parameters_finish(&parameters);
    return is_good;
}

static bool read_png(const char *text, size_t size, struct problem *problem)
{
    struct png_contents contents;
    struct err err;
    if (png_read(&contents, text, size, limits.max_pixels, &err) != ERR_OK)
        return problem_set(problem, PROBLEM_INVALID, NULL, "%s", err.message);
    png_read_finish(&contents);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool (*const readers[])(const char *, size_t, struct problem *) = {
        read_query, read_openai, read_sdapi, read_parameters, read_png};
    if (size == 0)
        return 0;
    struct problem problem;
    if (readers[data[0] % 5]((const char *)data + 1, size - 1, &problem))
        return 0;
    for (int i = 0; i < DIALECT_COUNT; i++) {
        struct buf out;
        buf_init(&out, 8192);
        dialect_write((enum dialect)i, &problem, "id", &out);
        if (out.failed)
            abort();
        buf_finish(&out);
    }
    return 0;
}
