/* A reader that hangs holds nobody up; what it missed is counted. */
#include "server/log.h"
#include "server/pending.h"
#include "tests/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* A line has about 300 bytes. */
enum { FEW_LINES = 2000, MANY_LINES = 20000, PADDING = 200, PATIENCE = 60000 };

/* The standard output becomes a pipe, of which the reading end is returned. */
static int open_pipe(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0 && dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO);
    (void)close(ends[1]);
    return ends[0];
}

static void log_lines(size_t n)
{
    char padding[PADDING + 1];
    memset(padding, 'x', PADDING);
    padding[PADDING] = '\0';
    for (size_t i = 0; i < n; i++) {
        struct log_line line;
        log_begin(&line, "info", "line");
        log_count(&line, "number", i);
        log_text(&line, "padding", padding);
        log_end(&line);
    }
}

static uint64_t number_behind(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    CHECK(at != NULL);
    return strtoull(at + strlen(key), NULL, 10);
}

/* A reader, and what it has read. */
struct reading {
    int source;
    size_t lines;           /* after which it tells: those it saw, and the dropped */
    struct pending awaited; /* until it has told */
    size_t seen, dropped;
};

/* Reads until the end. Lines are whole and come in order. */
static void *read_lines(void *argument)
{
    struct reading *reading = argument;
    FILE *source = fdopen(reading->source, "r");
    char line[1024];
    uint64_t last = 0;
    CHECK(source != NULL);
    while (fgets(line, sizeof(line), source) != NULL) {
        size_t length = strlen(line);
        CHECK(line[0] == '{' && strcmp(line + length - 2, "}\n") == 0);
        if (strstr(line, "\"event\":\"dropped\"") != NULL) {
            reading->dropped += number_behind(line, "\"lines\":");
        } else {
            uint64_t number = number_behind(line, "\"number\":");
            CHECK(reading->seen == 0 || number > last);
            last = number;
            reading->seen++;
        }
        if (reading->seen + reading->dropped == reading->lines)
            pending_remove(&reading->awaited);
    }
    (void)fclose(source);
    return NULL;
}

static pthread_t start_reading(struct reading *reading, int source, size_t lines)
{
    pthread_t thread;
    *reading = (struct reading){.source = source, .lines = lines};
    pending_init(&reading->awaited);
    (void)pending_add(&reading->awaited, 1);
    CHECK(pthread_create(&thread, NULL, read_lines, reading) == 0);
    return thread;
}

static void finish_reading(struct reading *reading, pthread_t thread)
{
    CHECK(pending_wait(&reading->awaited, PATIENCE));
    log_writer_stop();
    int nowhere = open("/dev/null", O_WRONLY); /* the pipe's end for its reader */
    CHECK(nowhere >= 0 && dup2(nowhere, STDOUT_FILENO) == STDOUT_FILENO);
    (void)close(nowhere);
    (void)pthread_join(thread, NULL);
    pending_finish(&reading->awaited);
}

static void test_direct(void)
{
    struct reading reading;
    pthread_t thread = start_reading(&reading, open_pipe(), 10);
    log_lines(10);
    finish_reading(&reading, thread);
    CHECK(reading.seen == 10 && reading.dropped == 0);
}

static void test_writer(void)
{
    struct reading reading;
    pthread_t thread = start_reading(&reading, open_pipe(), FEW_LINES);
    log_writer_start();
    log_lines(FEW_LINES); /* less than a megabyte: none is lost */
    finish_reading(&reading, thread);
    CHECK(reading.seen == FEW_LINES && reading.dropped == 0);
}

/* The reader begins when all is logged, which without the writer would never be. */
static void test_late_reader(void)
{
    struct reading reading;
    int source = open_pipe();
    log_writer_start();
    log_lines(MANY_LINES);
    pthread_t thread = start_reading(&reading, source, MANY_LINES);
    finish_reading(&reading, thread);
    CHECK(reading.seen > FEW_LINES && reading.dropped > 0);
    CHECK(reading.seen + reading.dropped == MANY_LINES);
}

static void test_reader_that_never_reads(void)
{
    (void)open_pipe();
    log_writer_start();
    log_lines(MANY_LINES);
    log_writer_stop();
    log_lines(1);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    test_direct();
    test_writer();
    test_late_reader();
    test_reader_that_never_reads();
    return 0;
}
