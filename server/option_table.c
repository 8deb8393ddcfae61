#include "server/option_table.h"

#include <ctype.h>
#include <stdio.h>

enum {
    SERVE = COMMAND_SERVE,
    GENERATE = COMMAND_GENERATE,
    INSPECT = COMMAND_INSPECT,
    HEALTHCHECK = COMMAND_HEALTHCHECK,
    BENCH = COMMAND_BENCH
};

#define AT(member) offsetof(struct options, member)

const struct option option_table[OPTION_COUNT] = {
    {"model", "DIR", KIND_TEXT, SERVE | GENERATE | INSPECT | BENCH, 0, 0, "model/house",
     "model folder in diffusers layout", AT(model), 0, false},
    {"kernels", "NAME", KIND_TEXT, SERVE | GENERATE | INSPECT | BENCH, 0, 0, "",
     "scalar, avx2, avx512, openblas; \"\": the fastest", AT(kernels), 0, false},
    {"host", "ADDRESS", KIND_TEXT, SERVE | HEALTHCHECK, 0, 0, "127.0.0.1",
     "address to listen on; :: is all, of IPv4 too", AT(host), 0, false},
    {"port", "N", KIND_COUNT, SERVE, 0, 65535, "8080",
     "port of the service; 0: any free one", AT(port), 0, false},
    {"admin-port", "N", KIND_COUNT, SERVE | HEALTHCHECK, 0, 65535, "8081",
     "port of probes and metrics; 0: any free one", AT(admin_port), 0, false},
    {"workers", "N", KIND_COUNT, SERVE | INSPECT, 0, 1024, "0",
     "computing threads; 0: one a processor", AT(workers), 0, false},
    {"max-batch", "N", KIND_COUNT, SERVE | INSPECT, 1, 64, "8",
     "requests stepped together", AT(max_batch), 0, false},
    {"cors-origin", "ORIGIN", KIND_TEXT, SERVE, 0, 0, "",
     "whose pages may ask too; *: anybody's", AT(cors_origin), 0, false},
    {"public-url", "URL", KIND_TEXT, SERVE, 0, 0, "",
     "where clients find this service, for links", AT(public_url), 0, false},
    {"max-round", "MS", KIND_COUNT, SERVE, 1, 600000, "100",
     "smaller batches when they would take longer", AT(max_round), 0, false},
    {"queue", "N", KIND_COUNT, SERVE, 0, 100000, "512", "the most requests that may wait",
     AT(queue), 0, false},
    {"max-wait", "SECONDS", KIND_COUNT, SERVE, 0, 86400, "30",
     "refuse who would wait longer, by forecast", AT(max_wait), 0, false},
    {"max-steps", "N", KIND_COUNT, SERVE | GENERATE, 1, 1000, "100",
     "the most steps of a request", AT(max_steps), 0, false},
    {"max-pixels", "N", KIND_COUNT, SERVE | GENERATE | INSPECT, 0, UINT64_C(1) << 28, "0",
     "the largest image; 0: the model's own limit", AT(max_pixels), 0, false},
    {"context-cache", "BYTES", KIND_BYTES, SERVE | INSPECT, 0, 0, "64M",
     "encoded prompts that are kept", AT(context_cache), 0, false},
    {"memory-limit", "BYTES", KIND_BYTES, SERVE | GENERATE | INSPECT | BENCH, 0, 0, "0",
     "0: the cgroup's or the machine's", AT(memory_limit), 0, false},
    {"drain-delay", "SECONDS", KIND_COUNT, SERVE, 0, 3600, "5",
     "service after SIGTERM, while not ready", AT(drain_delay), 0, false},
    {"drain-timeout", "SECONDS", KIND_COUNT, SERVE, 0, 86400, "30",
     "then the time to finish what was accepted", AT(drain_timeout), 0, false},
    {"header-timeout", "SECONDS", KIND_COUNT, SERVE, 1, 3600, "10",
     "then a client that sends its head is cut", AT(header_timeout), 0, false},
    {"body-timeout", "SECONDS", KIND_COUNT, SERVE, 1, 3600, "10",
     "the same for a request's body", AT(body_timeout), 0, false},
    {"response-timeout", "SECONDS", KIND_COUNT, SERVE, 1, 3600, "30",
     "the same for one that reads its answer", AT(response_timeout), 0, false},
    {"allow-half-close", NULL, KIND_BOOL, SERVE, 0, 0, "off",
     "who sends no more may wait for an answer", AT(allow_half_close), 0, false},
    {"api-keys", "FILE", KIND_TEXT, SERVE, 0, 0, "",
     "whose keys are asked for; \"\": nobody's", AT(api_keys), 0, false},
    {"metrics-on-service", "on|off", KIND_BOOL, SERVE, 0, 0, "on",
     "probes and metrics on --port too", AT(metrics_on_service), 0, false},
    {"no-png-text", NULL, KIND_NOT, SERVE | GENERATE, 0, 0, "off",
     "no parameters text in the PNG", AT(png_text), 0, false},
    {"prompt", "TEXT", KIND_TEXT, GENERATE, 0, 0, NULL, "what to draw; required",
     AT(prompt), 0, true},
    {"negative-prompt", "TEXT", KIND_TEXT, GENERATE, 0, 0, "",
     "what to stay away from; needs guidance", AT(negative_prompt), 0, false},
    {"seed", "N", KIND_TEXT, GENERATE, 0, 0, NULL, "0 to 4294967295; drawn when absent",
     AT(seed), 0, false},
    {"steps", "N", KIND_COUNT, GENERATE, 1, 1000, NULL, "absent: the model's default",
     AT(steps), 0, false},
    {"width", "PIXELS", KIND_COUNT, GENERATE, 1, 1 << 28, NULL,
     "absent: the model's default", AT(width), 0, false},
    {"height", "PIXELS", KIND_COUNT, GENERATE, 1, 1 << 28, NULL,
     "absent: the model's default", AT(height), 0, false},
    {"guidance", "SCALE", KIND_NUMBER, GENERATE, 1, 20, NULL,
     "1: off; absent: the model's default", AT(guidance), 0, false},
    {"solver", "NAME", KIND_TEXT, GENERATE, 0, 0, "euler",
     "euler, midpoint, heun, ab2 or dpmpp_2m", AT(solver), 0, false},
    {"output", "FILE", KIND_TEXT, GENERATE, 0, 0, NULL, "the PNG to write; required",
     AT(output), 'o', true},
    {"digest", NULL, KIND_BOOL, INSPECT, 0, 0, "off",
     "read all weights for it, however many", AT(digest), 0, false},
    {"seconds", "N", KIND_COUNT, BENCH, 1, 86400, "60", "about how long to measure",
     AT(seconds), 0, false},
    {"threads", "N", KIND_COUNT, BENCH, 1, 256, "1", "that share each piece of work",
     AT(threads), 0, false},
    {"json", NULL, KIND_BOOL, BENCH, 0, 0, "off", "for programs: JSON, no tables",
     AT(json), 0, false},
};

#undef AT

const struct command_row command_table[COMMAND_COUNT] = {
    {COMMAND_SERVE, "serve", "[OPTION...]", "serve images over HTTP until SIGTERM"},
    {COMMAND_GENERATE, "generate", "--prompt TEXT -o FILE [OPTION...]",
     "make one image and write it to a PNG file"},
    {COMMAND_INSPECT, "inspect", "[DIR] [OPTION...]",
     "print what a model folder holds and needs"},
    {COMMAND_HEALTHCHECK, "healthcheck", "[OPTION...]",
     "exit 0 when the server on this machine is ready, else 1"},
    {COMMAND_BENCH, "bench", "[OPTION...]", "measure a model on this machine"},
};

void option_variable(const struct option *option, char name[SOURCE_SIZE])
{
    (void)snprintf(name, SOURCE_SIZE, "SLUICE_%s", option->flag);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}
