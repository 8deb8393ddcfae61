/*
 * job - one image request from its admission to its answer.
 *
 *   QUEUED -> ENCODING -> STEPPING -> DECODING -> DONE
 *      \_________\___________\___________\------> FAILED, CANCELED
 *
 * A job whose image is being made for another one follows it: it waits, QUEUED, and is
 * DONE with a copy of the other's answer.
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
#include "server/admission.h"
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

/* What whoever waits for the job may want to know of it meanwhile. */
enum job_event {
    JOB_ADMITTED,
    JOB_STEPPED,
    JOB_PREVIEWED, /* preview has a PNG until the call returns */
    JOB_TICK,      /* about once a second */
};

enum { JOB_TAG_SIZE = 40 };

struct round;

struct job {
    struct list_node node; /* in one of the scheduler's lists, or its leader's */
    enum job_state state;
    atomic_bool abandoned;  /* its client has left: set by any thread */
    atomic_bool dropped;    /* another image of its request has failed: the same */
    struct job *first;      /* image of its request, which is let in as a whole: itself */
    unsigned images;        /* the first's: how many the request has */
    bool has_final_steps;   /* the first's: they hold for all images from now on */
    bool is_estimate;       /* ends, CANCELED, as soon as `admission` is known */
    bool is_copy;           /* its image was made for the job that it followed */
    bool wants_preview;     /* before its next step */
    char tag[JOB_TAG_SIZE]; /* jobs of the same tag have the same image; may be "" */
    struct list followers;  /* that wait for this one's image */
    struct round *round;    /* that a worker does and it is in; NULL: none */
    struct request request;
    struct served_model *model; /* held */

    size_t n_contexts; /* how many it needs: 2 under guidance */
    struct context *contexts[JOB_CONTEXTS];
    struct trajectory *trajectory;

    struct buf png; /* the answer when DONE */
    struct buf preview;
    struct problem problem;     /* the answer when FAILED or CANCELED */
    struct admission admission; /* what was predicted when it came */
    struct {
        unsigned steps_done, steps;
        double seconds_left;
    } oldest;        /* an estimate's: of the job that has run longest */
    size_t position; /* jobs that are due before it and waited then */
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

    /* By the engine's thread: done once; progress, which may be NULL, before it. */
    void (*done)(struct job *job, void *context);
    void (*progress)(struct job *job, enum job_event event, void *context);
    void *context;
};

/* Takes the request over (its strings move), and a hold on the model. The job is the only
 * image of its request, until the caller says otherwise. */
enum err_code job_create(struct job **out,
                         struct request *request,
                         struct served_model *model,
                         struct err *err);
void job_destroy(struct job *job);

/* Calls progress, if there is one. */
void job_tell(struct job *job, enum job_event event);

/* Aborts on a move that the picture above does not have. */
void job_move(struct job *job, enum job_state to);

bool job_is_over(const struct job *job);

/* Latent tokens of its image. */
size_t job_latent_tokens(const struct job *job);

/* "queued", "encoding", ... */
const char *job_state_name(enum job_state state);

#endif
