/*
 * accept - content negotiation: what an Accept or a Content-Type header allows
 * (RFC 9110, sections 12.5.1 and 8.3.1).
 *
 * Threads: pure functions. Ownership: none.
 */
#ifndef SLUICE_API_ACCEPT_H
#define SLUICE_API_ACCEPT_H

#include <stdbool.h>

/* Whether `accept` (NULL: the header is absent, everything is allowed; so it is by one
 * that names nothing) gives media_type a quality above 0. The most specific range
 * decides, of equals the most generous; parameters other than q are ignored; a part that
 * is malformed allows nothing. Several header lines are one, joined by commas. */
bool accept_allows(const char *accept, const char *media_type);

/* Whether a Content-Type header names application/json (any parameters; charset, if
 * given, must be utf-8). NULL is false. */
bool accept_is_json(const char *content_type);

#endif
