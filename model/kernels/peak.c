#include "model/kernels/peak.h"

#include "base/clock.h"

#include <string.h>

/* The widest first. */
static const struct row {
    const char *name; /* of the kernels that use these instructions */
    double (*chains)(size_t length, float *sink);
} rows[] = {
#if defined(__x86_64__)
    {"avx512", peak_avx512},
    {"avx2", peak_avx2},
#endif
    {"scalar", peak_scalar},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct row *find(const char *name)
{
    const struct kernels *same;
    size_t i = 0;
    if (strcmp(name, "openblas") == 0) {
        while (i + 1 < ROWS && kernels_choose(&same, rows[i].name, NULL) != ERR_OK)
            i++;
    } else {
        while (i + 1 < ROWS && strcmp(rows[i].name, name) != 0)
            i++;
    }
    return &rows[i];
}

/* Operations a second of one trial. */
static double
measure(const struct row *row, size_t length, uint64_t *took, volatile float *result)
{
    float sink;
    uint64_t start = clock_now();
    double operations = row->chains(length, &sink);
    *took = clock_now() - start;
    *result = sink;
    return operations / ((double)*took * 1e-9 + 1e-12);
}

double peak_measure(const struct kernels *kernels, size_t trials)
{
    static const uint64_t enough = 1000000; /* nanoseconds */
    const struct row *row = find(kernels->name);
    volatile float result;
    uint64_t took;
    size_t length = 256;
    double best = measure(row, length, &took, &result);
    while (took < enough) {
        length *= 2;
        best = measure(row, length, &took, &result);
    }
    for (size_t i = 1; i < trials; i++) {
        double found = measure(row, length, &took, &result);
        best = found > best ? found : best;
    }
    return best;
}
