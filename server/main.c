#include "api/json_memory.h"
#include "base/random.h"
#include "model/bundle.h"
#include "server/commands.h"
#include "server/options.h"

#include <stdio.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static int run(const struct options *options)
{
    static const struct {
        enum command command;
        int (*run)(const struct options *options);
    } commands[] = {
        {COMMAND_SERVE, serve_run},     {COMMAND_GENERATE, generate_run},
        {COMMAND_INSPECT, inspect_run}, {COMMAND_HEALTHCHECK, healthcheck_run},
        {COMMAND_BENCH, bench_run},
    };
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (commands[i].command == options->command)
            return commands[i].run(options);
    }
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct options options;
    enum options_outcome outcome;
    struct err err;
    bundle_init();
    json_memory_init();
    if (!random_init()) {
        (void)fprintf(stderr, "sluice: the system gives no random bytes\n");
        return EXIT_FAILED;
    }
    if (options_parse(&options, &outcome, argc, argv, stderr, &err) != ERR_OK) {
        (void)fprintf(stderr, "sluice: %s\n", err.message);
        return EXIT_USAGE;
    }
    int status = 0;
    switch (outcome) {
    case OPTIONS_HELP:
        options_help(options.command, stdout);
        break;
    case OPTIONS_VERSION:
        (void)printf("sluice %s\n", SLUICE_VERSION);
        break;
    case OPTIONS_RUN:
        status = run(&options);
        break;
    }
    if (fflush(stdout) != 0) {
        perror("sluice: standard output");
        return EXIT_FAILED;
    }
    return status;
}
