#include "api/form.h"

#include "api/accept.h"

#include <stddef.h>

static const char *const types[FORM_COUNT] = {
    [FORM_PNG] = "image/png",
    [FORM_JSON] = "application/json",
    [FORM_EVENTS] = "text/event-stream",
};

const char *form_type(enum form form)
{
    return types[form];
}

/* The most wanted of the forms from `first` on; FORM_COUNT when none is acceptable. */
static enum form most_wanted(const char *accept, enum form first)
{
    enum form best = FORM_COUNT;
    unsigned most = 0;
    for (unsigned i = first; i < FORM_COUNT; i++) {
        unsigned quality = accept_quality(accept, types[i], NULL);
        if (quality > most) {
            most = quality;
            best = (enum form)i;
        }
    }
    return best;
}

bool form_is_acceptable(const char *accept, struct problem *problem)
{
    return most_wanted(accept, FORM_PNG) != FORM_COUNT ||
           problem_set(problem, PROBLEM_NOT_ACCEPTABLE, NULL,
                       "expected an Accept header that allows image/png, "
                       "application/json or text/event-stream");
}

bool form_allows_previews(const char *accept)
{
    bool is_named = false;
    return accept_quality(accept, types[FORM_EVENTS], &is_named) > 0 && is_named;
}

bool form_choose(enum form *out,
                 const char *accept,
                 const struct request *request,
                 struct problem *problem)
{
    enum form first = request->n > 1 ? FORM_JSON : FORM_PNG;
    if (request->preview_every > 0)
        first = FORM_EVENTS;
    enum form chosen = most_wanted(accept, first);
    if (chosen != FORM_COUNT) {
        *out = chosen;
        return true;
    }
    if (!form_is_acceptable(accept, problem))
        return false;
    if (request->preview_every > 0)
        return problem_set(problem, PROBLEM_INVALID, "preview_every",
                           "preview_every needs an Accept header that allows "
                           "text/event-stream");
    return problem_set(problem, PROBLEM_INVALID, "n",
                       "n: expected 1, as the Accept header allows neither "
                       "application/json nor text/event-stream, found %u",
                       request->n);
}
