/* Grants come at the rate, at most a burst at once, and a debt is worked off. */
#include "server/token_bucket.h"
#include "tests/check.h"

#include <math.h>
#include <stdbool.h>

static const uint64_t second = 1000000000;

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-6;
}

static void test_burst_and_rate(void)
{
    struct token_bucket bucket;
    token_bucket_init(&bucket, 10.0, 30.0, 5 * second);
    for (int i = 0; i < 3; i++)
        CHECK(token_bucket_take(&bucket, 10.0, 5 * second) <= 0.0);
    CHECK(is_near(token_bucket_take(&bucket, 10.0, 5 * second), 1.0));
    CHECK(is_near(token_bucket_take(&bucket, 5.0, 5 * second), 0.5));
    CHECK(is_near(token_bucket_take(&bucket, 10.0, 5 * second + second / 4), 0.75));
    CHECK(token_bucket_take(&bucket, 10.0, 6 * second) <= 0.0);
    CHECK(is_near(token_bucket_take(&bucket, 10.0, 6 * second), 1.0));
    /* It holds no more than a burst, however long nobody asks. */
    CHECK(token_bucket_take(&bucket, 30.0, 1000 * second) <= 0.0);
    CHECK(token_bucket_take(&bucket, 1.0, 1000 * second) > 0.0);
}

static void test_debt(void)
{
    struct token_bucket bucket;
    token_bucket_init(&bucket, 10.0, 20.0, 0);
    CHECK(token_bucket_take(&bucket, 100.0, 0) <= 0.0); /* it was full */
    CHECK(is_near(token_bucket_take(&bucket, 100.0, 0), 10.0));
    CHECK(is_near(token_bucket_take(&bucket, 10.0, 0), 9.0));
    CHECK(is_near(token_bucket_take(&bucket, 10.0, 8 * second), 1.0));
    CHECK(token_bucket_take(&bucket, 10.0, 9 * second) <= 0.0);
}

static void test_give_back(void)
{
    struct token_bucket bucket;
    token_bucket_init(&bucket, 1.0, 20.0, 0);
    CHECK(token_bucket_take(&bucket, 20.0, 0) <= 0.0);
    token_bucket_give_back(&bucket, 15.0);
    CHECK(token_bucket_take(&bucket, 15.0, 0) <= 0.0);
    token_bucket_give_back(&bucket, 1000.0);
    CHECK(token_bucket_take(&bucket, 20.0, 0) <= 0.0);
    CHECK(token_bucket_take(&bucket, 1.0, 0) > 0.0);
}

/* Whatever is asked and when: never more than the burst and the rate's, and a wait that
 * is kept is granted. */
static void test_sums(void)
{
    struct token_bucket bucket;
    uint64_t now = 0;
    double granted = 0.0, largest = 0.0;
    unsigned state = 1;
    token_bucket_init(&bucket, 7.0, 50.0, now);
    for (int i = 0; i < 20000; i++) {
        state = state * 1664525U + 1013904223U;
        double cost = 1.0 + (double)(state >> 16 & 0xFF);
        double wait = token_bucket_take(&bucket, cost, now);
        if (wait > 0.0) {
            CHECK(wait <= (50.0 + 256.0) / 7.0);
            now += (uint64_t)(wait * 1e9) + 10;
            CHECK(token_bucket_take(&bucket, cost, now) <= 0.0);
        }
        granted += cost;
        largest = cost > largest ? cost : largest;
        CHECK(granted <= 50.0 + largest + 7.0 * 1e-9 * (double)now + 1e-3);
        now += (uint64_t)(state >> 8 & 0xFFFFFF);
    }
    CHECK(granted > 7.0 * 1e-9 * (double)now - 1.0);
}

int main(void)
{
    test_burst_and_rate();
    test_debt();
    test_give_back();
    test_sums();
    return 0;
}
