#include "server/machine.h"
#include "tests/check.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILES = 8, PATH_SIZE = 512, PROCESSORS = 16 };

#define PHYSICAL UINT64_C(68719476736)

/* What a machine says of itself, and what is left of it. */
struct machine {
    const char *name;
    struct {
        const char *path, *text;
    } files[MAX_FILES];
    size_t processors;
    uint64_t memory;
};

#define CGROUP "/sys/fs/cgroup"

static const struct machine machines[] = {
    {"nothing", {{0}}, PROCESSORS, PHYSICAL},
    {"v2, in its namespace",
     {{"/proc/self/cgroup", "0::/\n"},
      {CGROUP "/cpu.max", "250000 100000\n"},
      {CGROUP "/memory.max", "1073741824\n"}},
     2,
     1073741824},
    {"v2 without limits",
     {{"/proc/self/cgroup", "0::/a\n"},
      {CGROUP "/a/cpu.max", "max 100000\n"},
      {CGROUP "/a/memory.max", "max\n"}},
     PROCESSORS,
     PHYSICAL},
    {"v2, the parent is less",
     {{"/proc/self/cgroup", "0::/pod/container\n"},
      {CGROUP "/pod/container/cpu.max", "800000 100000\n"},
      {CGROUP "/pod/container/memory.max", "max\n"},
      {CGROUP "/pod/cpu.max", "300000 100000\n"},
      {CGROUP "/pod/memory.max", "536870912\n"}},
     3,
     536870912},
    {"v2, the child is less",
     {{"/proc/self/cgroup", "0::/pod/container\n"},
      {CGROUP "/pod/container/cpu.max", "400000 200000\n"},
      {CGROUP "/pod/cpu.max", "900000 100000\n"}},
     2,
     PHYSICAL},
    {"a part of a processor",
     {{"/proc/self/cgroup", "0::/\n"}, {CGROUP "/cpu.max", "50000 100000\n"}},
     1,
     PHYSICAL},
    {"more than there is",
     {{"/proc/self/cgroup", "0::/\n"},
      {CGROUP "/cpu.max", "6400000 100000\n"},
      {CGROUP "/memory.max", "9223372036854771712\n"}},
     PROCESSORS,
     PHYSICAL},
    {"v2, outside of its namespace",
     {{"/proc/self/cgroup", "0::/../other\n"},
      {CGROUP "/cpu.max", "500000 100000\n"},
      {"/sys/fs/other/cpu.max", "100000 100000\n"}},
     5,
     PHYSICAL},
    {"v1",
     {{"/proc/self/cgroup", "9:memory:/box\n4:cpu,cpuacct:/box\n2:cpuset:/\n0::/\n"},
      {CGROUP "/cpu/box/cpu.cfs_quota_us", "700000\n"},
      {CGROUP "/cpu/box/cpu.cfs_period_us", "100000\n"},
      {CGROUP "/memory/box/memory.limit_in_bytes", "2147483648\n"},
      {CGROUP "/memory/memory.limit_in_bytes", "9223372036854771712\n"}},
     7,
     2147483648},
    {"v1, the host's path is not mounted",
     {{"/proc/self/cgroup", "4:cpuacct,cpu:/docker/0123\n9:memory:/docker/0123\n"},
      {CGROUP "/cpu/cpu.cfs_quota_us", "400000\n"},
      {CGROUP "/cpu/cpu.cfs_period_us", "100000\n"},
      {CGROUP "/memory/memory.limit_in_bytes", "4194304\n"}},
     4,
     4194304},
    {"v1 without limits",
     {{"/proc/self/cgroup", "1:cpu:/\n"},
      {CGROUP "/cpu/cpu.cfs_quota_us", "-1\n"},
      {CGROUP "/cpu/cpu.cfs_period_us", "100000\n"}},
     PROCESSORS,
     PHYSICAL},
    {"cpuset is not cpu",
     {{"/proc/self/cgroup", "1:cpuset:/\n"},
      {CGROUP "/cpu/cpu.cfs_quota_us", "100000\n"},
      {CGROUP "/cpu/cpu.cfs_period_us", "100000\n"}},
     PROCESSORS,
     PHYSICAL},
    {"garbage",
     {{"/proc/self/cgroup", "\n::\n0::/\nx\n"},
      {CGROUP "/cpu.max", "100000 0\n"},
      {CGROUP "/memory.max", "-5\n"}},
     PROCESSORS,
     PHYSICAL},
};

/* <root><path>, whose folders are made. */
static void write_file(const char *root, const char *path, const char *text)
{
    char full[PATH_SIZE];
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL;
         slash++) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Removes the file and the folders above it that are empty then. */
static void remove_file(const char *root, const char *path)
{
    char full[PATH_SIZE];
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    CHECK(unlink(full) == 0);
    for (char *slash; (slash = strrchr(full, '/')) >= full + strlen(root);) {
        *slash = '\0';
        if (slash == full + strlen(root) || rmdir(full) != 0)
            return;
    }
}

static void check_machine(const char *root, const struct machine *machine)
{
    for (size_t i = 0; i < MAX_FILES && machine->files[i].path != NULL; i++)
        write_file(root, machine->files[i].path, machine->files[i].text);
    size_t processors = machine_processors_in(root, PROCESSORS);
    uint64_t memory = machine_memory_limit_in(root, PHYSICAL);
    for (size_t i = 0; i < MAX_FILES && machine->files[i].path != NULL; i++)
        remove_file(root, machine->files[i].path);
    if (processors != machine->processors || memory != machine->memory) {
        (void)fprintf(stderr, "%s: %zu processors, %llu bytes\n", machine->name,
                      processors, (unsigned long long)memory);
        CHECK(processors == machine->processors && memory == machine->memory);
    }
}

int main(void)
{
    char root[] = "machine.XXXXXX";
    CHECK(mkdtemp(root) != NULL);
    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
        check_machine(root, &machines[i]);
    CHECK(rmdir(root) == 0);

    CHECK(machine_processors() >= 1);
    CHECK(machine_memory_limit() >= (uint64_t)1 << 20);
    return 0;
}
