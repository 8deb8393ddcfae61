/*
 * http_exchange - one request and its answer, on one connection: its life.
 *
 *   HEAD -> READING -> WAITING (suspended, the engine has the job) -> FINISHED
 *
 * What is answered at once stays READING.
 *
 * What a route does stands in the table of http_route.h, how answers are sent in
 * http_answer.h.
 *
 * Threads: the http thread's; while WAITING the engine's thread may move it to FINISHED,
 * and resumes the connection right after. Ownership: made when a request's first line is
 * there, freed by http_exchange_destroy when libmicrohttpd says that the request has
 * ended.
 */
#ifndef SLUICE_SERVER_HTTP_EXCHANGE_H
#define SLUICE_SERVER_HTTP_EXCHANGE_H

#include "api/cacheable.h"
#include "api/dialect.h"
#include "api/form.h"
#include "api/problem.h"
#include "api/route.h"
#include "base/buf.h"
#include "server/api_keys.h"
#include "server/client_watch.h"
#include "server/http.h"
#include "server/http_deadlines.h"
#include "server/http_images.h"
#include "server/pending.h"

#include <microhttpd.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum http_stage { HTTP_SERVING, HTTP_DRAINING, HTTP_REFUSING };

/* What all exchanges of one server share. */
struct http_shared {
    struct http_setting setting;
    atomic_int stage;          /* enum http_stage */
    struct pending unanswered; /* requests that the engine was given */
    struct client_watch *watch;
    atomic_size_t uploads; /* bytes of the files that are held */
};

/* What all exchanges of one port share. */
struct http_listener {
    struct http_shared *shared;
    enum route_port port;
    struct http_deadlines *deadlines;
};

enum exchange_state {
    EXCHANGE_HEAD,
    EXCHANGE_READING,
    EXCHANGE_WAITING,
    EXCHANGE_FINISHED,
};

enum { REQUEST_ID_SIZE = 65 };

struct http_exchange {
    const struct http_listener *listener;
    struct http_shared *shared; /* the listener's */
    struct MHD_Connection *connection;
    enum exchange_state state;
    char *target;          /* as it was sent, no escape undone; NULL: there was none */
    const char *target_at; /* where in the head; compared, not read */
    char method[24], request_id[REQUEST_ID_SIZE];
    bool is_preflight; /* of CORS: it has no route */
    bool has_route;
    enum route route;
    enum dialect dialect; /* in which problems are told */
    struct api_key *key;  /* whose request it is; NULL: no keys are asked for */
    struct buf accept;    /* the Accept lines as one */
    struct buf body;
    size_t upload;   /* bytes of a file, which are in shared->uploads */
    bool must_close; /* the connection, behind the answer */

    bool is_pending;            /* counted in shared->unanswered */
    struct served_model *model; /* that the request is for; held */
    struct http_images *images; /* that it asked for, until it is answered */
    enum form form;             /* of the answer with images */
    bool wants_links;           /* in place of images */
    char tag[CACHEABLE_TAG_SIZE];
    const char *cache_control; /* NULL: no cache may keep the answer */
    double charged;            /* to the key, in evaluations x pixels */
    struct problem problem;    /* of an answer that is one */

    int status; /* of the answer; 0 until there is one */
    size_t answer_bytes;
    uint64_t arrived; /* clock_now() */
};

/* The first line is there. target: borrowed, may be NULL. NULL without memory. */
struct http_exchange *http_exchange_create(const struct http_listener *listener,
                                           struct MHD_Connection *connection,
                                           const char *target);
void http_exchange_destroy(struct http_exchange *exchange);

/* A request's head as libmicrohttpd tells it: path without the query, escapes undone. */
struct http_head {
    const char *method, *path, *version;
};

/* The head is there. What is wrong with it is answered at once. */
enum MHD_Result http_exchange_begin(struct http_exchange *exchange,
                                    const struct http_head *head);

/* Some of its body. */
enum MHD_Result
http_exchange_body(struct http_exchange *exchange, const char *data, size_t *length);

/* All of it, or the connection was resumed: answers, or suspends and hands over. */
enum MHD_Result http_exchange_proceed(struct http_exchange *exchange);

/* The request has ended, answered or not. */
void http_exchange_end(struct http_exchange *exchange,
                       enum MHD_RequestTerminationCode code);

/* What was sent, NUL-terminated; "" for nothing. */
const char *http_exchange_body_text(const struct http_exchange *exchange);

/* The value of a header; NULL when it is not there. */
const char *http_exchange_header(const struct http_exchange *exchange, const char *name);

/* All lines of a header that is a list, as one (RFC 9110, section 5.3): *out is new, and
 * empty when there are none. Without memory it fails. */
void http_exchange_lines(const struct http_exchange *exchange,
                         const char *name,
                         struct buf *out);

/* The value of all Accept headers; NULL when there is none. */
const char *http_exchange_accept(const struct http_exchange *exchange);

/* The connection's deadline; NULL when it has none. */
struct http_deadline *http_exchange_deadline(struct MHD_Connection *connection);

#endif
