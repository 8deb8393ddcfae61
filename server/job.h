/*
 * job - one image request from its admission to its answer.
 *
 *   QUEUED -> ENCODING -> STEPPING -> DECODING -> DONE
 *      \_________\___________\___________\------> FAILED, CANCELED
 *
 * Threads: made by the http thread, given to the engine by engine_submit, given back by
 * the `done` callback. In between the engine's thread owns it, but for the length of a
 * round, when the round's worker does. Ownership: job_destroy frees what it holds; the
 * contexts are given back by the engine before.
 */
#ifndef SLUICE_SERVER_JOB_H
#define SLUICE_SERVER_JOB_H

#include "api/answer.h"
#include "api/problem.h"
#include "api/request.h"
#include "base/list.h"
#include "sampler/trajectory.h"
#include "server/context_cache.h"

#include <stdbool.h>
#include <stdint.h>

enum job_state {
    JOB_QUEUED,
    JOB_ENCODING,
    JOB_STEPPING,
    JOB_DECODING,
    JOB_DONE,
    JOB_FAILED,
    JOB_CANCELED,
    JOB_STATE_COUNT
};

enum { JOB_CONTEXTS = 2 }; /* of the prompt, and of the negative prompt under guidance */

struct job {
    struct list_node node; /* in one of the engine's lists */
    enum job_state state;
    bool in_round; /* a worker has it */
    struct request request;

    size_t n_contexts; /* how many it needs: 2 under guidance */
    struct context *contexts[JOB_CONTEXTS];
    struct trajectory *trajectory;

    struct buf png;         /* the answer when DONE */
    struct problem problem; /* the answer when FAILED or CANCELED */
    struct answer_facts facts;
    uint64_t submitted, started, stepping_since, decoding_since; /* clock_now() */

    void (*done)(struct job *job,
                 void *context); /* called once, by the engine's thread */
    void *done_context;
};

/* Takes the request over (its strings move). */
enum err_code job_create(struct job **out, struct request *request, struct err *err);
void job_destroy(struct job *job);

/* Aborts on a move that the picture above does not have. */
void job_move(struct job *job, enum job_state to);

bool job_is_over(const struct job *job);

/* "queued", "encoding", ... */
const char *job_state_name(enum job_state state);

#endif
