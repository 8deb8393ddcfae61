/*
 * http_images - the images that an exchange asked for: their jobs with the engine, the
 * suspended connection that waits for them, and the events that are told meanwhile.
 *
 *   http thread     http_images_start: suspends, hands the jobs over
 *   engine thread   a job goes on or is done: text is added to the stream, if there is
 *                   one; the connection is resumed, once for each suspension
 *   http thread     the route's finish; the stream is read until it is empty and all
 *                   jobs are done
 *
 * A client that leaves ends the jobs. One that reads a stream slowly loses steps and
 * previews, but no image, unless it leaves unread what is there for longer than an answer
 * may take: then it is cut.
 *
 * Threads: as said; a lock guards what both touch. Ownership: new from http_images_start,
 * the exchange's; http_images_leave gives it up, and it is freed when its last job is
 * done.
 */
#ifndef SLUICE_SERVER_HTTP_IMAGES_H
#define SLUICE_SERVER_HTTP_IMAGES_H

#include "api/answer_json.h"
#include "api/request.h"
#include "base/buf.h"
#include "server/client_watch.h"
#include "server/job.h"

#include <microhttpd.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_exchange;
struct http_images;

/* What a stream says, in the words of its route. Each appends whole events. */
struct http_events {
    void (*queued)(const struct http_images *images, size_t index, struct buf *out);
    void (*stepped)(const struct http_images *images, size_t index, struct buf *out);
    void (*previewed)(struct http_images *images, size_t index, struct buf *out);
    void (*finished)(const struct http_images *images, size_t index, struct buf *out);
    void (*failed)(const struct http_images *images, size_t index, struct buf *out);
};

struct http_images {
    pthread_mutex_t lock;
    struct http_exchange *exchange; /* NULL when its connection has ended */
    struct http_shared *shared;
    struct MHD_Connection *connection;
    size_t n, unfinished, admitted;
    struct job *jobs[REQUEST_MAX_IMAGES];
    struct job *failed; /* the first that was not done; NULL */

    const struct http_events *events; /* NULL: nothing is told before all is done */
    struct buf text;                  /* of the stream, from `sent` on */
    size_t sent;
    size_t due;          /* bytes that must be sent before the answer's time is over */
    bool is_streaming;   /* the answer has begun */
    bool lost_event;     /* one that may not be left out, for want of memory */
    unsigned previews;   /* that were told */
    uint64_t told;       /* when the last event was */
    char request_id[65]; /* the exchange's, which may be gone */

    bool is_suspended;
    struct client_watch_entry client; /* while it is */
};

/* Makes the request's jobs for exchange->model, suspends the connection and hands them
 * over; sets exchange->images. Takes the request over. On false exchange->problem says
 * why, and nothing is suspended. tag: of the image, or ""; events may be NULL. */
bool http_images_start(struct http_exchange *exchange,
                       struct request *request,
                       const char *tag,
                       const struct http_events *events);

/* The same for a job that only asks what would be. */
bool http_images_estimate(struct http_exchange *exchange, struct request *request);

/* Nobody waits any more: by the watch of clients. */
void http_images_abandon(struct http_images *images);

/* All finished images as an answer speaks of them; `files` has room for n. */
struct answer http_images_answer(const struct http_images *images,
                                 struct answer_image files[REQUEST_MAX_IMAGES]);

/* The same with only the index-th image, and what was done for it. */
struct answer http_images_answer_one(const struct http_images *images,
                                     size_t index,
                                     struct answer_image *file);

/* Whether the answer is a stream: all jobs were let in, and events are wanted. */
bool http_images_has_stream(struct http_images *images);

/* The response that the stream is; NULL without memory. */
struct MHD_Response *http_images_stream(struct http_images *images);

/* Whether the engine has given all jobs back: before, what they say of themselves is its.
 */
bool http_images_are_over(struct http_images *images);

/* Whether the stream is broken: there was no memory for an image or an error. NULL: no.
 */
bool http_images_have_lost(struct http_images *images);

/* Evaluations that were computed, of all. */
unsigned http_images_evaluations(const struct http_images *images);

/* The exchange has ended. NULL is accepted. */
void http_images_leave(struct http_images *images);

#endif
