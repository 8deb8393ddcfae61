/*
 * form - the three forms of an answer, and which one a request gets: the Accept header
 * chooses (RFC 9110, section 12.5.1) among those that serve what was asked for.
 *
 * One image comes in any form, several not as image/png, previews only as events. Of
 * forms that are wanted alike the first serves: image/png, application/json,
 * text/event-stream.
 *
 * Threads: pure functions. Ownership: none.
 */
#ifndef SLUICE_API_FORM_H
#define SLUICE_API_FORM_H

#include "api/problem.h"
#include "api/request.h"

#include <stdbool.h>

enum form { FORM_PNG, FORM_JSON, FORM_EVENTS, FORM_COUNT };

/* What may be known before the request itself is: whether some form is acceptable. On
 * false *problem is PROBLEM_NOT_ACCEPTABLE. accept: all lines joined; NULL for none. */
bool form_is_acceptable(const char *accept, struct problem *problem);

/* For request_limits: whether the header asks for events by name, as previews need. */
bool form_allows_previews(const char *accept);

/* The form of a request that passed request_check under these limits. On false *problem
 * is PROBLEM_NOT_ACCEPTABLE, or PROBLEM_INVALID when one image would be acceptable. */
bool form_choose(enum form *out,
                 const char *accept,
                 const struct request *request,
                 struct problem *problem);

/* "image/png", "application/json", "text/event-stream". */
const char *form_type(enum form form);

/* What answers that depend on the Accept header say in Vary. */
#define FORM_VARY "Accept"

#endif
