#include "server/roster.h"

#include "server/round.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct job *job_of(struct list_node *node)
{
    return node == NULL ? NULL : list_entry(node, struct job, node);
}

enum err_code roster_init(struct roster *roster, size_t most, struct err *err)
{
    *roster = (struct roster){0};
    list_init(&roster->queued);
    list_init(&roster->running);
    roster->commitments = calloc(most, sizeof(*roster->commitments));
    if (roster->commitments == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory to schedule %zu requests", most);
    return ERR_OK;
}

void roster_finish(struct roster *roster)
{
    free(roster->commitments);
    roster->commitments = NULL;
}

static void insert(struct list *queued, struct job *job)
{
    struct list_node *before = list_last(queued);
    while (before != NULL && job_of(before)->due > job->due)
        before = list_previous(queued, before);
    list_insert(queued, before, &job->node);
}

/* They are nearly in order: each is inserted behind those that were before it. */
void roster_sort(struct roster *roster)
{
    struct list sorted;
    struct list_node *node;
    list_init(&sorted);
    while ((node = list_pop(&roster->queued)) != NULL)
        insert(&sorted, job_of(node));
    while ((node = list_pop(&sorted)) != NULL)
        list_append(&roster->queued, node);
}

void roster_enter(struct roster *roster, struct job *job)
{
    job->position = 0;
    for (struct list_node *node = list_first(&roster->queued);
         node != NULL && job_of(node)->due <= job->due;
         node = list_next(&roster->queued, node))
        job->position++;
    insert(&roster->queued, job);
    roster->n_queued++;
    roster->memory += job->memory;
}

struct job *roster_first_queued(const struct roster *roster)
{
    return job_of(list_first(&roster->queued));
}

/* Its round was told to stop: nothing will come of it any more. */
static bool is_stopping(const struct job *job)
{
    return job->round != NULL && atomic_load(&job->round->stop);
}

struct job *roster_find(const struct roster *roster, const struct job *like)
{
    const struct list *lists[] = {&roster->running, &roster->queued};
    for (size_t i = 0; i < 2 && like->tag[0] != '\0'; i++) {
        struct list_node *node = list_first(lists[i]);
        for (; node != NULL; node = list_next(lists[i], node)) {
            struct job *job = job_of(node);
            if (strcmp(job->tag, like->tag) == 0 && !is_stopping(job))
                return job;
        }
    }
    return NULL;
}

void roster_start(struct roster *roster, struct job *job)
{
    list_remove(&job->node);
    roster->n_queued--;
    list_append(&roster->running, &job->node);
    roster->n_running++;
}

void roster_leave(struct roster *roster, struct job *job)
{
    list_remove(&job->node);
    roster->memory -= job->memory;
    if (job->state == JOB_QUEUED)
        roster->n_queued--;
    else
        roster->n_running--;
}

struct job *roster_first_running(const struct roster *roster)
{
    return job_of(list_first(&roster->running));
}

struct job *roster_next_running(const struct roster *roster, const struct job *job)
{
    return job_of(list_next(&roster->running, &job->node));
}

void roster_visit(struct roster *roster,
                  void (*visit)(struct job *job, void *context),
                  void *context)
{
    struct list *lists[] = {&roster->running, &roster->queued};
    for (size_t i = 0; i < 2; i++) {
        struct list_node *node = list_first(lists[i]), *next;
        for (; node != NULL; node = next) {
            next = list_next(lists[i], node);
            visit(job_of(node), context);
        }
    }
}

static void add_commitment(struct roster *roster, const struct job *job, size_t *n)
{
    roster->commitments[(*n)++] = (struct commitment){
        .due = job->due,
        .deadline = job->deadline == 0 ? ADMISSION_NEVER : job->deadline,
        .seconds = job->seconds_left,
    };
}

static int by_due(const void *a, const void *b)
{
    const struct commitment *one = a, *other = b;
    return (one->due > other->due) - (one->due < other->due);
}

size_t roster_commitments(struct roster *roster, const struct job *but)
{
    const struct list *lists[] = {&roster->running, &roster->queued};
    size_t n = 0;
    for (size_t i = 0; i < 2; i++) {
        struct list_node *node = list_first(lists[i]);
        for (; node != NULL; node = list_next(lists[i], node)) {
            if (but == NULL || job_of(node)->first != but->first)
                add_commitment(roster, job_of(node), &n);
        }
    }
    qsort(roster->commitments, n, sizeof(*roster->commitments), by_due);
    return n;
}

bool roster_is_urgent(const struct roster *roster, const struct job *job)
{
    static const double worthwhile = 4.0;
    uint64_t later = job->due + (uint64_t)(worthwhile * job->seconds_left * 1e9);
    const struct job *other = roster_first_running(roster);
    while (other != NULL && (other->state == JOB_DECODING || other->due <= later))
        other = roster_next_running(roster, other);
    return other != NULL;
}

/* Nothing is left to do about the job but to wait for the end of its round. */
static bool is_settled(const struct job *job, uint64_t now)
{
    return is_stopping(job) || (job->round != NULL && job->deadline <= now);
}

uint64_t roster_next_deadline(const struct roster *roster, uint64_t now)
{
    const struct list *lists[] = {&roster->running, &roster->queued};
    uint64_t next = ADMISSION_NEVER;
    for (size_t i = 0; i < 2; i++) {
        struct list_node *node = list_first(lists[i]);
        for (; node != NULL; node = list_next(lists[i], node)) {
            const struct job *job = job_of(node);
            if (job->deadline != 0 && job->deadline < next && !is_settled(job, now))
                next = job->deadline;
        }
    }
    return next;
}

double roster_next_end(const struct roster *roster)
{
    const struct job *job = roster_first_running(roster);
    if (job == NULL)
        job = roster_first_queued(roster);
    double least = job == NULL ? 0.0 : job->seconds_left;
    for (; job != NULL && job->state != JOB_QUEUED;
         job = roster_next_running(roster, job))
        least = fmin(least, job->seconds_left);
    return least;
}

double roster_seconds_left(const struct roster *roster)
{
    const struct list *lists[] = {&roster->running, &roster->queued};
    double seconds = 0.0;
    for (size_t i = 0; i < 2; i++) {
        struct list_node *node = list_first(lists[i]);
        for (; node != NULL; node = list_next(lists[i], node))
            seconds += job_of(node)->seconds_left;
    }
    return seconds;
}
