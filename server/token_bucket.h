/*
 * token_bucket - how much somebody may ask for: a bucket of `burst` tokens that fills at
 * `rate` tokens a second, from which each request takes what it costs.
 *
 * What costs more than the bucket holds is granted when it is full, and leaves a debt, so
 * that nothing is refused for ever and the rate holds all the same.
 *
 * Threads: one at a time; time comes as an argument. Ownership: nothing is allocated.
 */
#ifndef SLUICE_SERVER_TOKEN_BUCKET_H
#define SLUICE_SERVER_TOKEN_BUCKET_H

#include <stdint.h>

struct token_bucket {
    double rate, burst;
    double tokens; /* at `updated`; below 0: a debt */
    uint64_t updated;
};

/* A full one; rate and burst are above 0. Instants are those of clock_now(). */
void token_bucket_init(struct token_bucket *bucket,
                       double rate,
                       double burst,
                       uint64_t now);

/* Takes `cost` tokens and returns 0; or takes none and returns the seconds until it
 * would. */
double token_bucket_take(struct token_bucket *bucket, double cost, uint64_t now);

/* Gives back what was taken and not used. */
void token_bucket_give_back(struct token_bucket *bucket, double tokens);

#endif
