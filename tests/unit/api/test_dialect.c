#include "api/dialect.h"
#include "tests/check.h"

#include <string.h>

static void check(enum dialect dialect, int status, const char *type, const char *part)
{
    struct problem problem;
    (void)problem_set(&problem, PROBLEM_INVALID, "steps", "why");
    struct buf out;
    buf_init(&out, 4096);
    dialect_write(dialect, &problem, "id-1", &out);
    CHECK(!out.failed && strstr(out.data, part) != NULL);
    CHECK(strstr(out.data, "steps") != NULL && strstr(out.data, "why") != NULL);
    CHECK(out.data[out.length - 1] == '\n');
    CHECK(dialect_status(dialect, &problem) == status);
    CHECK(strcmp(dialect_content_type(dialect), type) == 0);
    buf_finish(&out);
}

int main(void)
{
    check(DIALECT_OWN, 422, "application/problem+json", "\"instance\":\"id-1\"");
    check(DIALECT_OPENAI, 400, "application/json", "\"error\":{\"message\"");
    check(DIALECT_SDAPI, 422, "application/json", "\"loc\":[\"body\"");
    return 0;
}
