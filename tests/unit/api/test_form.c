#include "api/form.h"
#include "tests/check.h"

#include <stddef.h>
#include <string.h>

/* status 200: the form; else the problem's status, and its field. */
static const struct {
    const char *accept;
    unsigned n, preview_every;
    int status;
    enum form form;
    const char *field;
} cases[] = {
    {NULL, 1, 0, 200, FORM_PNG, ""},
    {"", 1, 0, 200, FORM_PNG, ""},
    {"*/*", 1, 0, 200, FORM_PNG, ""},
    {"image/*", 1, 0, 200, FORM_PNG, ""},
    {"text/html,application/xml;q=0.9,image/avif,*/*;q=0.8", 1, 0, 200, FORM_PNG, ""},
    {"application/json", 1, 0, 200, FORM_JSON, ""},
    {"application/*", 1, 0, 200, FORM_JSON, ""},
    {"text/event-stream", 1, 0, 200, FORM_EVENTS, ""},
    {"text/*", 1, 0, 200, FORM_EVENTS, ""},
    /* The higher quality, then the first form. */
    {"application/json;q=0.5, image/png;q=0.4", 1, 0, 200, FORM_JSON, ""},
    {"application/json, image/png", 1, 0, 200, FORM_PNG, ""},
    {"text/event-stream, application/json", 1, 0, 200, FORM_JSON, ""},
    {"text/event-stream, */*;q=0.1", 1, 0, 200, FORM_EVENTS, ""},
    {"image/png;q=0, */*", 1, 0, 200, FORM_JSON, ""},
    /* Several images are not one file. */
    {NULL, 2, 0, 200, FORM_JSON, ""},
    {"*/*", 2, 0, 200, FORM_JSON, ""},
    {"image/png, application/json;q=0.1", 2, 0, 200, FORM_JSON, ""},
    {"text/event-stream", 16, 0, 200, FORM_EVENTS, ""},
    {"image/png", 2, 0, 422, FORM_COUNT, "n"},
    {"image/*", 2, 0, 422, FORM_COUNT, "n"},
    /* Previews come as events only. */
    {"text/event-stream", 1, 4, 200, FORM_EVENTS, ""},
    {"image/png, text/event-stream;q=0.1", 1, 4, 200, FORM_EVENTS, ""},
    {"application/json", 1, 4, 422, FORM_COUNT, "preview_every"},
    {"text/html", 1, 0, 406, FORM_COUNT, ""},
    {"text/html", 2, 4, 406, FORM_COUNT, ""},
    {"image/jpeg", 1, 0, 406, FORM_COUNT, ""},
    {"*/*;q=0", 1, 0, 406, FORM_COUNT, ""},
};

static void test_choose(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request request = {.n = cases[i].n,
                                  .preview_every = cases[i].preview_every};
        struct problem problem = {.kind = PROBLEM_NONE};
        enum form form = FORM_COUNT;
        bool is_good = form_choose(&form, cases[i].accept, &request, &problem);
        CHECK(is_good == (cases[i].status == 200));
        CHECK(form == cases[i].form);
        CHECK(problem_status(problem.kind) == cases[i].status);
        CHECK(strcmp(problem.field, cases[i].field) == 0);
        CHECK(form_is_acceptable(cases[i].accept, &problem) == (cases[i].status != 406));
    }
}

static void test_previews(void)
{
    CHECK(!form_allows_previews(NULL));
    CHECK(!form_allows_previews("*/*"));
    CHECK(!form_allows_previews("image/png"));
    CHECK(!form_allows_previews("text/event-stream;q=0"));
    CHECK(!form_allows_previews("text/event-stream;q=0, */*"));
    CHECK(form_allows_previews("text/event-stream"));
    CHECK(form_allows_previews("*/*, text/event-stream;q=0.1"));
}

int main(void)
{
    test_choose();
    test_previews();
    CHECK(strcmp(form_type(FORM_PNG), "image/png") == 0);
    return 0;
}
