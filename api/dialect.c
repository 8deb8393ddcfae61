#include "api/dialect.h"

#include "api/openai.h"
#include "api/sdapi.h"

static int own_status(const struct problem *problem)
{
    return problem_status(problem->kind);
}

static void
write_openai(const struct problem *problem, const char *request_id, struct buf *out)
{
    (void)request_id; /* a header says it */
    openai_error_write(problem, out);
}

static void
write_sdapi(const struct problem *problem, const char *request_id, struct buf *out)
{
    (void)request_id;
    sdapi_error_write(problem, out);
}

static const struct {
    int (*status)(const struct problem *problem);
    void (*write)(const struct problem *problem, const char *request_id, struct buf *out);
    const char *content_type;
} dialects[DIALECT_COUNT] = {
    [DIALECT_OWN] = {own_status, problem_write, PROBLEM_CONTENT_TYPE},
    [DIALECT_OPENAI] = {openai_error_status, write_openai, "application/json"},
    [DIALECT_SDAPI] = {own_status, write_sdapi, "application/json"},
};

int dialect_status(enum dialect dialect, const struct problem *problem)
{
    return dialects[dialect].status(problem);
}

void dialect_write(enum dialect dialect,
                   const struct problem *problem,
                   const char *request_id,
                   struct buf *out)
{
    dialects[dialect].write(problem, request_id, out);
}

const char *dialect_content_type(enum dialect dialect)
{
    return dialects[dialect].content_type;
}
