/* Every allocation of reading a request fails once: the refusal says so, nothing is
 * handed out and nothing (under a leak checker) is lost. */
#include "api/json_memory.h"
#include "api/openai.h"
#include "api/parameters.h"
#include "api/request_json.h"
#include "api/request_query.h"
#include "api/sdapi.h"
#include "tests/check.h"
#include "tests/lib/fault.h"

#include <string.h>

static const struct request_limits limits = {
    .max_steps = 100,
    .max_pixels = 16384,
    .patch = 16,
    .defaults = {.steps = 20, .width = 128, .height = 128, .guidance = 3},
};

static const char body[] = "{\"prompt\": \"a cat\", \"negative_prompt\": \"a dog\"}";
static const char query[] = "prompt=a+cat&negative_prompt=a+dog&seed=1";

static bool parse_body(struct request *request, struct problem *problem)
{
    return request_parse(request, body, sizeof(body) - 1, &limits, 1, problem);
}

static bool parse_query(struct request *request, struct problem *problem)
{
    char model[REQUEST_MODEL_SIZE];
    return request_query_parse(request, model, query, sizeof(query) - 1, &limits,
                               problem);
}

static bool parse_openai(struct request *request, struct problem *problem)
{
    static const struct openai_setting setting = {
        .limits = &limits, .model_name = "house", .model_digest = "0"};
    struct openai_request out;
    if (!openai_parse(&out, body, sizeof(body) - 1, &setting, 1, problem))
        return false;
    *request = out.request;
    return true;
}

static bool parse_sdapi(struct request *request, struct problem *problem)
{
    return sdapi_parse(request, body, sizeof(body) - 1, &limits, 1, problem);
}

static bool parse_parameters(struct request *request, struct problem *problem)
{
    static const char text[] = "a cat\nNegative prompt: a dog\nSteps: 4, Sampler: Euler, "
                               "CFG scale: 3, Seed: 7, Size: 64x64, "
                               "Model hash: 0123456789";
    struct parameters out;
    if (!parameters_read(&out, text, &limits, problem))
        return false;
    *request = out.request;
    return true;
}

static void parse_at_last(bool (*parse)(struct request *, struct problem *), long least)
{
    for (long failures = 0;; failures++) {
        struct request request = {.n = 77};
        struct problem problem = {0};
        fault_after(failures);
        bool is_good = parse(&request, &problem);
        fault_after(-1);
        if (is_good) {
            CHECK(failures >= least);
            CHECK(strcmp(request.prompt, "a cat") == 0);
            request_finish(&request);
            return;
        }
        CHECK(problem.kind == PROBLEM_INTERNAL && request.n == 77);
    }
}

int main(void)
{
    json_memory_init();
    parse_at_last(parse_body, 16);
    parse_at_last(parse_query, 5);
    parse_at_last(parse_openai, 4);
    parse_at_last(parse_sdapi, 4);
    parse_at_last(parse_parameters, 5);
    return 0;
}
