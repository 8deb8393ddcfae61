#include "server/pending.h"

#include <time.h>

void pending_init(struct pending *pending)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&pending->lock, NULL);
    (void)pthread_cond_init(&pending->none, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    pending->count = 0;
}

void pending_finish(struct pending *pending)
{
    (void)pthread_cond_destroy(&pending->none);
    (void)pthread_mutex_destroy(&pending->lock);
}

bool pending_add(struct pending *pending, size_t most)
{
    (void)pthread_mutex_lock(&pending->lock);
    bool fits = pending->count < most;
    pending->count += fits;
    (void)pthread_mutex_unlock(&pending->lock);
    return fits;
}

void pending_remove(struct pending *pending)
{
    (void)pthread_mutex_lock(&pending->lock);
    pending->count--;
    if (pending->count == 0)
        (void)pthread_cond_broadcast(&pending->none);
    (void)pthread_mutex_unlock(&pending->lock);
}

bool pending_wait(struct pending *pending, uint64_t milliseconds)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)(milliseconds / 1000);
    end.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    int status = 0;
    (void)pthread_mutex_lock(&pending->lock);
    while (pending->count > 0 && status == 0)
        status = pthread_cond_timedwait(&pending->none, &pending->lock, &end);
    bool none = pending->count == 0;
    (void)pthread_mutex_unlock(&pending->lock);
    return none;
}
