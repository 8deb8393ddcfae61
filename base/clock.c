#include "base/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t clock_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void clock_text(char text[CLOCK_TEXT_SIZE])
{
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text + n, CLOCK_TEXT_SIZE - n, ".%03dZ",
                   (int)(now.tv_nsec / 1000000) % 1000);
}

double clock_milliseconds(uint64_t nanoseconds)
{
    return (double)nanoseconds / 1e6;
}
