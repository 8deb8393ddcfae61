/*
 * answer_event - what happens to a request until its images are there, and the images, as
 * text/event-stream (WHATWG HTML, section 9.2): events with these names and data.
 *
 *   queued    {"position": 3, "eta_ms": 120}            position 0: about to start
 *   step      {"index": 0, "step": 4, "steps": 20}
 *   preview   {"index": 0, "step": 4, "steps": 20, "media_type": ..., "base64": ...}
 *   image     as answer_json says, with this one image
 *   error     a problem; the last event
 *
 * The stream ends behind the n-th image or an error. Comments keep it open meanwhile.
 *
 * Threads: pure functions. Ownership: the caller's; without memory the buf fails.
 */
#ifndef SLUICE_API_ANSWER_EVENT_H
#define SLUICE_API_ANSWER_EVENT_H

#include "api/answer_json.h"
#include "api/problem.h"
#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

/* Starts and ends the event `name`, whose data must hold no newline. */
void answer_event_begin(const char *name, struct buf *out);
void answer_event_end(struct buf *out);

void answer_event_queued(size_t position, uint64_t eta_milliseconds, struct buf *out);
void answer_event_step(unsigned index, unsigned step, unsigned steps, struct buf *out);
void answer_event_preview(const struct answer_image *image,
                          unsigned step,
                          unsigned steps,
                          struct buf *out);
void answer_event_image(const struct answer *answer, struct buf *out);
void answer_event_error(const struct problem *problem,
                        const char *request_id,
                        struct buf *out);

/* A comment, which clients skip: proxies see that the connection lives. */
void answer_event_heartbeat(struct buf *out);

#endif
