/*
 * accept - content negotiation: what an Accept or a Content-Type header allows
 * (RFC 9110, sections 12.5.1 and 8.3.1).
 *
 * Threads: pure functions. Ownership: none.
 */
#ifndef SLUICE_API_ACCEPT_H
#define SLUICE_API_ACCEPT_H

#include "base/buf.h"

#include <stdbool.h>

/* How much `accept` (NULL: the header is absent, everything is allowed; so it is by one
 * that names nothing) wants media_type: its quality in thousandths, 0 when it refuses.
 * The most specific range decides, of equals the most generous; parameters other than q
 * are ignored; a part that is malformed allows nothing. *is_named (may be NULL): whether
 * the range that decided names the type, and is not just any. */
unsigned accept_quality(const char *accept, const char *media_type, bool *is_named);

/* Whether that is above 0. */
bool accept_allows(const char *accept, const char *media_type);

/* Whether a Content-Type header names application/json (any parameters; charset, if
 * given, must be utf-8). NULL is false. */
bool accept_is_json(const char *content_type);

/* Adds one line of a list header to those before it: several are one, joined by commas
 * (RFC 9110, section 5.3). */
void accept_join(struct buf *lines, const char *value);

/* Adds the tokens in a list header's value (NULL: none) to a list, up to the buf's limit;
 * what is no token (section 5.6.2) is left out. */
void accept_add_tokens(struct buf *list, const char *value);

#endif
