#include "server/benchmark_report.h"
#include "server/commands.h"
#include "server/machine.h"

#include <stdio.h>
#include <stdlib.h>

/* Each measurement takes the memory that it needs, within the limit. */
static enum err_code
bench(struct model_setup *setup, const struct options *options, struct err *err)
{
    const struct kernels *kernels;
    struct benchmark *benchmark = malloc(sizeof(*benchmark));
    if (benchmark == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a benchmark");
    enum err_code code = kernels_choose(&kernels, options->kernels, err);
    if (code == ERR_OK)
        code = model_setup_load(setup, err);
    if (code == ERR_OK && !options->json)
        (void)fprintf(stderr, "measuring for about %lu s ...\n",
                      (unsigned long)options->seconds);
    if (code == ERR_OK)
        code = benchmark_run(benchmark, setup, kernels, (size_t)options->threads,
                             (double)options->seconds, err);
    if (code == ERR_OK) {
        struct benchmark_subject subject = {bundle_info(setup->bundle), SLUICE_VERSION,
                                            machine_processors()};
        if (options->json)
            benchmark_print_json(benchmark, &subject, stdout);
        else
            benchmark_print_tables(benchmark, &subject, stdout);
    }
    free(benchmark);
    return code;
}

int bench_run(const struct options *options)
{
    return model_setup_run_alone(options, bench);
}
