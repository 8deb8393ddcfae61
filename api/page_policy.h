/*
 * page_policy - the Content-Security-Policy under which the page is served (W3C CSP 3):
 * nothing but its own one script and one style sheet, known by their hashes, and this
 * service.
 *
 * Threads: pure. Ownership: *out is the caller's buf.
 */
#ifndef SLUICE_API_PAGE_POLICY_H
#define SLUICE_API_PAGE_POLICY_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends the header's value for a page of this text, which has one <style> and one
 * <script>, both without attributes; false when it does not. Without memory the buf
 * fails. */
bool page_policy_write(const unsigned char *page, size_t length, struct buf *out);

#endif
