/* Time goes forward, and the wall clock reads as RFC 3339. */
#include "base/clock.h"
#include "tests/check.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void test_never_goes_back(void)
{
    uint64_t last = clock_now();
    for (int i = 0; i < 10000; i++) {
        const uint64_t now = clock_now();
        CHECK(now >= last);
        last = now;
    }
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    const uint64_t before = clock_now();
    CHECK(nanosleep(&pause, NULL) == 0);
    CHECK(clock_now() - before >= 20u * 1000 * 1000);
}

static void test_text(void)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    char text[CLOCK_TEXT_SIZE];
    const time_t before = time(NULL);
    clock_text(text);
    CHECK(strlen(text) == strlen(form));
    for (size_t i = 0; i < strlen(form); i++)
        CHECK(form[i] == 'd' ? isdigit((unsigned char)text[i]) != 0 : text[i] == form[i]);

    /* The year and the second of the minute are now's. */
    struct tm utc;
    CHECK(gmtime_r(&before, &utc) != NULL);
    const long year = strtol(text, NULL, 10), second = strtol(text + 17, NULL, 10);
    CHECK(year == utc.tm_year + 1900 || year == utc.tm_year + 1901);
    CHECK((second - utc.tm_sec + 60) % 60 <= 5);
}

int main(void)
{
    test_never_goes_back();
    test_text();
    CHECK(fabs(clock_milliseconds(1500000) - 1.5) < 1e-12);
    CHECK(fabs(clock_milliseconds(0)) < 1e-12);
    return 0;
}
