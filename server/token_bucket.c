#include "server/token_bucket.h"

static double lower(double a, double b)
{
    return a < b ? a : b;
}

void token_bucket_init(struct token_bucket *bucket,
                       double rate,
                       double burst,
                       uint64_t now)
{
    *bucket = (struct token_bucket){
        .rate = rate, .burst = burst, .tokens = burst, .updated = now};
}

static void fill(struct token_bucket *bucket, uint64_t now)
{
    if (now <= bucket->updated)
        return;
    double seconds = (double)(now - bucket->updated) * 1e-9;
    bucket->tokens = lower(bucket->burst, bucket->tokens + seconds * bucket->rate);
    bucket->updated = now;
}

double token_bucket_take(struct token_bucket *bucket, double cost, uint64_t now)
{
    fill(bucket, now);
    double needed = lower(cost, bucket->burst);
    if (bucket->tokens < needed)
        return (needed - bucket->tokens) / bucket->rate;
    bucket->tokens -= cost;
    return 0.0;
}

void token_bucket_give_back(struct token_bucket *bucket, double tokens)
{
    bucket->tokens = lower(bucket->burst, bucket->tokens + tokens);
}
