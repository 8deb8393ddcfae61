/*
 * simulation - a server without threads, network or clock: a struct scheduler, workers
 * whose rounds last as long as a machine that it does not know says, and clients whose
 * requests are counted. Hours pass in seconds.
 *
 * A round does what server/round.c does, with zeros in place of the network. What must
 * hold at every moment is checked there: the order of rounds, one model a round, rounds
 * that are stopped only when nobody needs them, one end for each job.
 *
 * Threads: one. Ownership: the simulation owns its jobs; models are the test's.
 */
#ifndef SLUICE_TESTS_LIB_SIMULATION_H
#define SLUICE_TESTS_LIB_SIMULATION_H

#include "server/scheduler.h"
#include "tests/lib/draw.h"
#include "tests/lib/simulated_machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIMULATION_WORKERS = 4, SIMULATION_LEAVERS = 4096 };

#define SIMULATION_SECOND UINT64_C(1000000000)

struct simulation_worker {
    struct round round;
    bool is_busy, was_stopped;
    uint64_t begins, ends;
};

struct simulation_ledger {
    size_t submitted, done, refused, canceled, failed;
    size_t shared;            /* that got what another one was made */
    size_t deadlines, missed; /* of those let in, by those whose client stayed */
    double longest_queue;     /* seconds; of those without a deadline */
    double longest_life, lives;
    size_t evaluations;
    uint64_t last_end;
};

struct simulation {
    struct scheduler scheduler;
    struct metrics metrics;
    struct simulated_machine machine;
    struct served_model *model;
    struct draw draw;
    uint64_t now, next_refresh;
    size_t n_workers;
    struct simulation_worker workers[SIMULATION_WORKERS];
    struct simulation_ledger ledger;
    size_t ended; /* calls of setting.ended */
    size_t stopped, most_in_a_round;
    /* Called with each job that has ended, before it is freed; may be NULL. */
    void (*watch)(struct simulation *simulation, const struct job *job);
    struct list kept; /* images of requests with several, until the end */
    size_t n_leavers;
    struct {
        struct job *job;
        uint64_t at;
    } leavers[SIMULATION_LEAVERS];
};

/* What a client asks for; zeros are the simplest. */
struct simulation_request {
    const char *prompt;
    unsigned steps, min_steps;
    size_t side;     /* of the picture; 0: 64 */
    double guidance; /* 0: off */
    enum solver_kind solver;
    double deadline; /* seconds; 0: none */
    double leaves;   /* the client does, after so many seconds; 0: it stays */
    unsigned images; /* of one request, let in together; 0: 1 */
    const char *tag; /* the same for requests with the same image; NULL: none */
};

/* setting: workers, max_batch, queue, max_wait, job_memory and context_cache. */
void simulation_start(struct simulation *simulation,
                      const struct scheduler_setting *setting,
                      const struct simulated_machine *machine,
                      struct served_model *model);

/* A round that was told to stop ends at the next of its ten blocks. */
void simulation_see_stops(struct simulation *simulation);

/* The last image's job, which may be gone by then. */
struct job *simulation_send(struct simulation *simulation,
                            const struct simulation_request *wish);

/* Does all that happens until `end`, which is now afterwards. */
void simulation_run(struct simulation *simulation, uint64_t end);

/* Until no job is left. */
void simulation_run_out(struct simulation *simulation);

/* The sum over the metric's labels. */
double simulation_gauge(const struct simulation *simulation, enum metric metric);

/* Checks that everybody got one answer, that the metrics say the same, and that nothing
 * is left; then frees the scheduler. */
void simulation_finish(struct simulation *simulation);

#endif
