/*
 * http_exchange - one request and its answer, on one connection.
 *
 *   NEW -> READING -> WAITING (suspended, the engine has the job) -> FINISHED
 *             \_________________________________________________/
 *
 * Threads: the http thread's; while WAITING the engine's thread may move it to FINISHED,
 * and resumes the connection right after. Ownership: made at a request's first call,
 * freed by http_exchange_destroy when libmicrohttpd says that the request has ended.
 */
#ifndef SLUICE_SERVER_HTTP_EXCHANGE_H
#define SLUICE_SERVER_HTTP_EXCHANGE_H

#include "api/problem.h"
#include "api/route.h"
#include "base/buf.h"
#include "server/http.h"
#include "server/job.h"
#include "server/pending.h"

#include <microhttpd.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum http_phase { HTTP_SERVING, HTTP_DRAINING, HTTP_REFUSING };

/* What all exchanges of one server share. */
struct http_shared {
    struct http_setting setting;
    atomic_int phase;          /* enum http_phase */
    struct pending unanswered; /* requests that the engine was given */
};

enum exchange_state {
    EXCHANGE_READING,
    EXCHANGE_WAITING,
    EXCHANGE_FINISHED,
};

enum { REQUEST_ID_SIZE = 65 };

struct http_exchange {
    struct http_shared *shared;
    struct MHD_Connection *connection;
    enum route_port port;
    enum exchange_state state;
    char method[8], request_id[REQUEST_ID_SIZE];
    bool has_route;
    enum route route;
    struct buf body;
    bool is_pending;            /* counted in shared->unanswered */
    struct served_model *model; /* that the request is for; held */
    struct job *job;            /* while the engine has it, and until it is answered */
    struct problem problem;

    int status; /* of the answer; 0 until there is one */
    size_t answer_bytes;
    uint64_t arrived; /* clock_now() */
};

/* The header's first line; NULL when there is none. */
const char *http_exchange_header(const struct http_exchange *exchange, const char *name);

/* NULL without memory. */
struct http_exchange *http_exchange_create(struct http_shared *shared,
                                           struct MHD_Connection *connection,
                                           enum route_port port,
                                           const char *method);
void http_exchange_destroy(struct http_exchange *exchange);

/* The request's headers are there. What is wrong with them is answered at once. */
enum MHD_Result http_exchange_begin(struct http_exchange *exchange, const char *path);

/* Some of its body. */
enum MHD_Result
http_exchange_body(struct http_exchange *exchange, const char *data, size_t *length);

/* All of it, or the connection was resumed: answers, or suspends and hands over. */
enum MHD_Result http_exchange_proceed(struct http_exchange *exchange);

/* Hands a job for exchange->model to the engine; the connection is suspended until it is
 * done. Takes the request over. */
enum MHD_Result http_exchange_submit(struct http_exchange *exchange,
                                     struct request *request);

#endif
