#include "server/http_verify.h"

#include "api/form.h"
#include "api/verify.h"
#include "server/http_answer.h"
#include "server/http_generate.h"

#include <stdio.h>

/* The file's pixels and text; false with a problem. */
static bool read_file(struct http_exchange *exchange, struct png_contents *contents)
{
    struct err err;
    enum err_code code = png_read(contents, exchange->body.data, exchange->body.length,
                                  exchange->model->limits.max_pixels, &err);
    if (code == ERR_OK)
        return true;
    return problem_set(&exchange->problem,
                       code == ERR_NO_MEMORY ? PROBLEM_INTERNAL : PROBLEM_INVALID, NULL,
                       "%s", err.message);
}

static bool read_parameters(struct http_exchange *exchange,
                            const struct png_contents *contents,
                            struct parameters *parameters)
{
    const char *text = contents->parameters == NULL ? "" : contents->parameters;
    return parameters_read(parameters, text, &exchange->model->limits,
                           &exchange->problem);
}

enum MHD_Result http_verify(struct http_exchange *exchange)
{
    struct png_contents contents;
    struct parameters parameters;
    if (!http_generate_open(exchange) || !read_file(exchange, &contents))
        return http_answer_problem(exchange);
    bool is_read = read_parameters(exchange, &contents, &parameters);
    png_read_finish(&contents);
    if (!is_read)
        return http_answer_problem(exchange);
    const char *digest = bundle_info(exchange->model->round.bundle)->digest;
    if (!parameters_check_model(&parameters, digest, &exchange->problem)) {
        parameters_finish(&parameters);
        return http_answer_problem(exchange);
    }
    return http_generate_submit(exchange, &parameters.request, "", NULL);
}

static enum MHD_Result compare(struct http_exchange *exchange,
                               const struct png_contents *contents,
                               const struct parameters *parameters)
{
    const struct job *job = exchange->images->jobs[0];
    const struct verify_file given = {exchange->body.data, exchange->body.length};
    const struct verify_file fresh = {job->png.data, job->png.length};
    enum verify_result result;
    struct err err;
    struct buf body;
    char version[48];
    if (verify_compare(&result, &given, contents, &fresh, &err) != ERR_OK) {
        (void)problem_set(&exchange->problem, PROBLEM_INTERNAL, NULL, "%s", err.message);
        return http_answer_problem(exchange);
    }
    (void)snprintf(version, sizeof(version), "sluice %s", exchange->model->round.version);
    buf_init(&body, HTTP_ANSWER_MAX_TEXT);
    verify_write(result, parameters, exchange->request_id, version, &body);
    return http_answer_json(exchange, &body);
}

enum MHD_Result http_verify_finish(struct http_exchange *exchange)
{
    enum MHD_Result result;
    struct png_contents contents;
    struct parameters parameters;
    if (!http_generate_is_done(exchange, &result))
        return result;
    /* Read again rather than kept while the image was made. */
    if (!read_file(exchange, &contents))
        return http_answer_problem(exchange);
    bool is_read = read_parameters(exchange, &contents, &parameters);
    result = is_read ? compare(exchange, &contents, &parameters)
                     : http_answer_problem(exchange);
    if (is_read)
        parameters_finish(&parameters);
    png_read_finish(&contents);
    return result;
}
