/*
 * job - one image request from its admission to its answer.
 *
 *   QUEUED -> ENCODING -> STEPPING -> DECODING -> DONE
 *      \_________\___________\___________\------> FAILED, CANCELED
 *
 * Threads: made by the http thread, given to the engine by engine_submit, given back by
 * the `done` callback. In between the engine's thread owns it, but for the length of a
 * round, when the round's worker does. Ownership: job_destroy frees what it holds; the
 * contexts are given back by the scheduler before.
 */
#ifndef SLUICE_SERVER_JOB_H
#define SLUICE_SERVER_JOB_H

#include "api/answer.h"
#include "api/problem.h"
#include "api/request.h"
#include "base/list.h"
#include "sampler/trajectory.h"
#include "server/context_cache.h"
#include "server/served_model.h"

#include <stdatomic.h>
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

struct round;

struct job {
    struct list_node node; /* in one of the scheduler's lists */
    enum job_state state;
    struct round *round; /* that a worker does and it is in; NULL: none */
    struct request request;
    struct served_model *model; /* held */
    atomic_bool abandoned;      /* its client has left: set by any thread */

    size_t n_contexts; /* how many it needs: 2 under guidance */
    struct context *contexts[JOB_CONTEXTS];
    struct trajectory *trajectory;

    struct buf png;         /* the answer when DONE */
    struct problem problem; /* the answer when FAILED or CANCELED */
    struct answer_facts facts;

    /* Instants of clock_now(). */
    uint64_t submitted, started, stepping_since, decoding_since, finished;
    uint64_t deadline;   /* 0: none */
    uint64_t promised;   /* when it was predicted to be done */
    uint64_t due;        /* its place in the order of rounds (batcher.h) */
    double seconds_left; /* worker-seconds of its work, by forecast */
    size_t memory;       /* bytes that it may come to hold */
    unsigned min_steps;  /* to which a deadline may lower its steps; never 0 */
    unsigned max_steps;  /* that were asked for */

    void (*done)(struct job *job,
                 void *context); /* called once, by the engine's thread */
    void *done_context;
};

/* Takes the request over (its strings move), and a hold on the model. */
enum err_code job_create(struct job **out,
                         struct request *request,
                         struct served_model *model,
                         struct err *err);
void job_destroy(struct job *job);

/* Aborts on a move that the picture above does not have. */
void job_move(struct job *job, enum job_state to);

bool job_is_over(const struct job *job);

/* Latent tokens of its image. */
size_t job_latent_tokens(const struct job *job);

/* "queued", "encoding", ... */
const char *job_state_name(enum job_state state);

#endif
