#define _GNU_SOURCE /* sched_getaffinity and CPU_ALLOC */

#include "server/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, LINE_SIZE = 4096 };

/* A limit that a cgroup and all those around it set: the least of them counts. */
struct limit {
    const char *controller; /* of cgroup v1 */
    /* *least becomes what the cgroup in `folder` allows, if that is less. v2 and v1 have
     * their own files; one that is absent allows everything. */
    void (*read)(const char *folder, uint64_t *least);
};

/* The first line of a file of /sys or /proc, whose size stat does not tell. */
static bool read_line(const char *folder, const char *name, char line[LINE_SIZE])
{
    char path[PATH_SIZE + 32];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool is_good = fgets(line, LINE_SIZE, file) != NULL;
    (void)fclose(file);
    return is_good;
}

/* A line of one positive number; "max" (v2) and "-1" (v1) are none. */
static bool read_number(const char *folder, const char *name, uint64_t *out)
{
    char line[LINE_SIZE];
    return read_line(folder, name, line) && line[0] >= '0' && line[0] <= '9' &&
           sscanf(line, "%" SCNu64, out) == 1;
}

static void lower(uint64_t *least, uint64_t value)
{
    if (value < *least)
        *least = value;
}

/* Whole processors. cpu.max is "<quota> <period>" in microseconds. */
static void read_processors(const char *folder, uint64_t *least)
{
    char line[LINE_SIZE];
    uint64_t quota, period;
    if (read_line(folder, "cpu.max", line) && line[0] >= '0' && line[0] <= '9' &&
        sscanf(line, "%" SCNu64 " %" SCNu64, &quota, &period) == 2 && period > 0)
        lower(least, quota / period);
    if (read_number(folder, "cpu.cfs_quota_us", &quota) &&
        read_number(folder, "cpu.cfs_period_us", &period) && period > 0)
        lower(least, quota / period);
}

static void read_memory(const char *folder, uint64_t *least)
{
    uint64_t bytes;
    if (read_number(folder, "memory.max", &bytes))
        lower(least, bytes);
    if (read_number(folder, "memory.limit_in_bytes", &bytes))
        lower(least, bytes);
}

/* Reads the cgroup <mount><path> and all above it, up to the mount. Inside a container
 * the path may be one of the host that is not mounted: then only the mount is there. */
static void
read_upwards(const struct limit *limit, const char *mount, char *path, uint64_t *least)
{
    char folder[PATH_SIZE];
    if (strstr(path, "/..") != NULL) /* outside of the cgroup namespace's root */
        path[0] = '\0';
    for (;;) {
        int n = snprintf(folder, sizeof(folder), "%s%s", mount, path);
        if (n > 0 && (size_t)n < sizeof(folder))
            limit->read(folder, least);
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

/* Whether the comma-separated list has the word. */
static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (; *list != '\0'; list += strcspn(list, ","), list += *list == ',') {
        if (strcspn(list, ",") == n && strncmp(list, word, n) == 0)
            return true;
    }
    return false;
}

/* One line of /proc/self/cgroup (cgroups(7)): "0::/path" of v2, "4:cpu,cpuacct:/path" of
 * v1, whose hierarchies are mounted by the name of a controller. */
static void
read_membership(const struct limit *limit, const char *root, char *line, uint64_t *least)
{
    char mount[PATH_SIZE];
    char *controllers = strchr(line, ':');
    char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (path == NULL)
        return;
    controllers++;
    *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';

    bool is_unified = controllers[0] == '\0';
    if (!is_unified && !list_has(controllers, limit->controller))
        return;
    int n = snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup%s%s", root,
                     is_unified ? "" : "/", is_unified ? "" : limit->controller);
    if (n > 0 && (size_t)n < sizeof(mount))
        read_upwards(limit, mount, path, least);
}

/* The least that the cgroups of this process allow, of what there is. */
static uint64_t read_limit(const struct limit *limit, const char *root, uint64_t least)
{
    char line[LINE_SIZE], path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return least;
    while (fgets(line, sizeof(line), file) != NULL)
        read_membership(limit, root, line, &least);
    (void)fclose(file);
    return least;
}

size_t machine_processors_in(const char *root, size_t available)
{
    static const struct limit limit = {"cpu", read_processors};
    size_t processors = (size_t)read_limit(&limit, root, available);
    return processors > 0 ? processors : 1;
}

uint64_t machine_memory_limit_in(const char *root, uint64_t physical)
{
    static const struct limit limit = {"memory", read_memory};
    return read_limit(&limit, root, physical);
}

/* Processors that the affinity mask allows; cpusets are part of it. The mask must be as
 * long as the kernel's, which may know more processors than there are. */
static size_t affinity_processors(void)
{
    for (size_t most = 1024; most <= (size_t)1 << 20; most *= 2) {
        cpu_set_t *set = CPU_ALLOC(most);
        if (set == NULL)
            break;
        size_t size = CPU_ALLOC_SIZE(most);
        int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        bool is_too_short = count == 0 && errno == EINVAL;
        CPU_FREE(set);
        if (count > 0)
            return (size_t)count;
        if (!is_too_short)
            break;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (size_t)online : 1;
}

size_t machine_processors(void)
{
    return machine_processors_in("", affinity_processors());
}

uint64_t machine_memory_limit(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t physical =
        pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;
    return machine_memory_limit_in("", physical);
}

size_t machine_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = before;
    return limit.rlim_cur < SIZE_MAX ? (size_t)limit.rlim_cur : SIZE_MAX;
}
