/*
 * failing_allocations - a library to be preloaded that makes one allocation of a running
 * program return NULL, when another process says so.
 *
 * FAILING_ALLOCATIONS names a file of two 64-bit integers that both processes map: how
 * many allocations still succeed (negative: all do), and how many have failed. Counted
 * is what the program and its libraries ask for, but not what those of `excluded` do:
 * where the caller returns to says who it is.
 *
 * In a program with gcc's address sanitizer allocations stay the sanitizer's.
 *
 * Threads: any. Ownership: none.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of the server's libraries these allocate for themselves: how they bear a failure is
 * their affair. */
static const char *const excluded[] = {"/libmicrohttpd", "/libuv",   "/ld-linux",
                                       "/libopenblas",   "/libasan", "/libgnutls"};

enum { RANGES = 64 };

struct control {
    atomic_int_fast64_t countdown, failed;
};

static struct control *control;
static struct {
    uintptr_t begin, end;
} ranges[RANGES]; /* of code whose allocations are left alone */
static size_t range_count;

/* The allocators below this one: the sanitizer's where there is one, else the C
 * library's. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__interceptor_malloc(size_t size) __attribute__((weak));
void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
void *__interceptor_realloc(void *old, size_t size) __attribute__((weak));
void *__interceptor_aligned_alloc(size_t alignment, size_t size) __attribute__((weak));
/* NOLINTEND(bugprone-reserved-identifier) */

static bool is_excluded(const char *line)
{
    for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++)
        if (strstr(line, excluded[i]) != NULL)
            return true;
    return false;
}

/* Where the code of the excluded libraries lies: lines of "begin-end rights ... path". */
static void read_ranges(void)
{
    char line[1024];
    FILE *maps = fopen("/proc/self/maps", "r");
    if (maps == NULL)
        return;
    while (range_count < RANGES && fgets(line, sizeof(line), maps) != NULL) {
        char *end;
        if (!is_excluded(line))
            continue;
        ranges[range_count].begin = strtoull(line, &end, 16);
        ranges[range_count].end = strtoull(end + 1, NULL, 16);
        range_count++;
    }
    (void)fclose(maps);
}

static void begin(void) __attribute__((constructor));

static void begin(void)
{
    const char *path = getenv("FAILING_ALLOCATIONS");
    const int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *mapped =
        mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    read_ranges();
    if (mapped != MAP_FAILED)
        control = mapped;
}

static bool fails(const void *caller)
{
    const uintptr_t address = (uintptr_t)caller;
    if (control == NULL || atomic_load(&control->countdown) < 0)
        return false;
    for (size_t i = 0; i < range_count; i++)
        if (address >= ranges[i].begin && address < ranges[i].end)
            return false;
    if (atomic_fetch_sub(&control->countdown, 1) != 0)
        return false;
    (void)atomic_fetch_add(&control->failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return __interceptor_malloc != NULL ? __interceptor_malloc(size)
                                        : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return __interceptor_calloc != NULL ? __interceptor_calloc(count, size)
                                        : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return __interceptor_realloc != NULL ? __interceptor_realloc(old, size)
                                         : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return __interceptor_aligned_alloc != NULL
               ? __interceptor_aligned_alloc(alignment, size)
               : __libc_memalign(alignment, size);
}
