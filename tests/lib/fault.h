/*
 * fault - makes one allocation fail, with no hook in the product's code: the linker
 * sends malloc, calloc, realloc and aligned_alloc here. Reaches only what is linked
 * statically; libraries that are shared objects keep their own calls.
 *
 * A test that uses it is linked with tests/lib/fault.c and
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc.
 *
 * Threads: counts are atomic; fault_after is for one thread. Ownership: none.
 */
#ifndef SLUICE_TESTS_LIB_FAULT_H
#define SLUICE_TESTS_LIB_FAULT_H

#include <stdbool.h>

/* The n-th allocation from now (from 0) returns NULL, all others succeed; n < 0 switches
 * faults off. */
void fault_after(long n);

/* Whether that allocation has been asked for. */
bool fault_happened(void);

#endif
