#include "server/process_metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Fields of /proc/self/stat (proc(5)), counted behind the program's name, which may hold
 * blanks: the state is the first. */
enum {
    FIELD_USER_TIME = 11,
    FIELD_SYSTEM_TIME = 12,
    FIELD_THREADS = 17,
    FIELD_START = 19,
    FIELD_VIRTUAL = 20,
    FIELD_RESIDENT = 21,
    FIELD_COUNT
};

static bool read_line(const char *path, const char *beginning, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool found = false;
    if (file == NULL)
        return false;
    while (!found && fgets(line, (int)size, file) != NULL)
        found = strncmp(line, beginning, strlen(beginning)) == 0;
    (void)fclose(file);
    return found;
}

static bool read_stat(double fields[FIELD_COUNT])
{
    char line[1024];
    if (!read_line("/proc/self/stat", "", line, sizeof(line)))
        return false;
    char *at = strrchr(line, ')');
    if (at == NULL || at[1] == '\0')
        return false;
    at += 2;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        int used = 0;
        int64_t value = 0;
        if (i > 0 && sscanf(at, " %" SCNd64 "%n", &value, &used) != 1)
            return false;
        fields[i] = (double)value;
        at += i > 0 ? used : 1; /* the state is a letter */
    }
    return true;
}

/* Seconds since 1970 at which the machine started; 0 when that cannot be read. */
static double boot_time(void)
{
    char line[128];
    double seconds = 0.0;
    if (!read_line("/proc/stat", "btime ", line, sizeof(line)) ||
        sscanf(line, "btime %lf", &seconds) != 1)
        return 0.0;
    return seconds;
}

static double count_open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    double count = 0.0;
    if (folder == NULL)
        return 0.0;
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count - 3; /* ".", "..", and the folder's own */
}

static double most_files(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0.0;
}

void process_metrics_write(const struct metrics_text *text)
{
    double stat[FIELD_COUNT];
    double ticks = (double)sysconf(_SC_CLK_TCK), page = (double)sysconf(_SC_PAGESIZE);
    if (!read_stat(stat) || ticks <= 0.0)
        return;
    const struct {
        struct metric_row row;
        double value;
    } values[] = {
        {{"process_cpu_seconds",
          COUNTER,
          "Processor time, user and system.",
          NULL,
          {NULL}},
         (stat[FIELD_USER_TIME] + stat[FIELD_SYSTEM_TIME]) / ticks},
        {{"process_resident_memory_bytes", GAUGE, "Resident memory.", NULL, {NULL}},
         stat[FIELD_RESIDENT] * page},
        {{"process_virtual_memory_bytes", GAUGE, "Virtual memory.", NULL, {NULL}},
         stat[FIELD_VIRTUAL]},
        {{"process_open_fds", GAUGE, "Open files and sockets.", NULL, {NULL}},
         count_open_files()},
        {{"process_max_fds", GAUGE, "The most files that may be open.", NULL, {NULL}},
         most_files()},
        {{"process_threads", GAUGE, "Threads.", NULL, {NULL}}, stat[FIELD_THREADS]},
        {{"process_start_time_seconds",
          GAUGE,
          "Start, in seconds since 1970.",
          NULL,
          {NULL}},
         boot_time() + stat[FIELD_START] / ticks},
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        metrics_text_value(text, &values[i].row, values[i].value);
}
