/*
 * machine - what this process may use: processors and memory, as the cgroup (v2 or v1),
 * the affinity mask and the machine itself allow.
 *
 * Threads: any. Ownership: none.
 */
#ifndef SLUICE_SERVER_MACHINE_H
#define SLUICE_SERVER_MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* Whole processors: the lesser of the affinity mask's and the cgroup's CPU quota rounded
 * down (a fraction of a processor more would only make its thread be stopped in turn);
 * at least 1. */
size_t machine_processors(void);

/* Bytes: the least of the cgroup's limit and the physical memory. */
uint64_t machine_memory_limit(void);

/* The same, with the files below `root` in place of those of the machine: what
 * <root>/proc/self/cgroup and <root>/sys/fs/cgroup leave of what there is. */
size_t machine_processors_in(const char *root, size_t available);
uint64_t machine_memory_limit_in(const char *root, uint64_t physical);

/* File descriptors that the process may have: its limit is raised as far as it may be. */
size_t machine_raise_descriptors(void);

#endif
