/*
 * verdict - why a job is refused or ended before its answer, in words for its client.
 *
 * Threads: the engine's. Ownership: jobs are borrowed.
 */
#ifndef SLUICE_SERVER_VERDICT_H
#define SLUICE_SERVER_VERDICT_H

#include "server/admission.h"
#include "server/job.h"

#include <stdbool.h>
#include <stdint.h>

/* Why a newcomer is refused; the label of the refusals' metric. */
enum refusal {
    REFUSAL_WAIT,
    REFUSAL_MEMORY,
    REFUSAL_COUNT,
    REFUSAL_DEADLINE,
    REFUSAL_IMPOSSIBLE,
    REFUSAL_RATE, /* of an API key: refused before it is a job */
    REFUSAL_SIZE, /* the request's images are more than fit at all */
    REFUSAL_NONE
};

/* What the job's problem becomes; NONE leaves it. random: 32 random bits, by which many
 * who were refused at once come back at different times. */
void verdict_refuse(struct job *job,
                    enum refusal refusal,
                    const struct admission *admission,
                    uint32_t random);

/* Whether nobody waits for the job's result any more: its client has left, or another
 * image of its request has failed, and no other job follows it; its deadline has passed;
 * or the server cancels everything. */
bool verdict_is_unwanted(const struct job *job, bool is_canceling, uint64_t now);

/* The same, and if so the job's problem says why. */
bool verdict_end(struct job *job, bool is_canceling, uint64_t now);

#endif
