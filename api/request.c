#include "api/request.h"

#include "api/request_field.h"
#include "base/size.h"
#include "sampler/schedule.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

bool request_init(struct request *out,
                  const struct request_limits *limits,
                  struct problem *problem)
{
    struct request request = {.sampling = limits->defaults, .n = 1};
    request.sampling.seed = 0;
    request.prompt = calloc(1, 1);
    request.negative_prompt = calloc(1, 1);
    if (request.prompt == NULL || request.negative_prompt == NULL) {
        request_finish(&request);
        return problem_set(problem, PROBLEM_INTERNAL, NULL, "out of memory");
    }
    *out = request;
    return true;
}

void request_draw_seed(struct request *request, uint32_t random_seed)
{
    if (request->seed_was_given)
        return;
    assert(request->n >= 1 && request->n <= REQUEST_MAX_IMAGES);
    uint32_t highest = UINT32_MAX - (request->n - 1);
    request->sampling.seed = random_seed > highest ? highest : random_seed;
}

static bool check_area(const struct request *request,
                       const struct request_limits *limits,
                       struct problem *problem)
{
    size_t width = request->sampling.width, height = request->sampling.height;
    if (size_multiply(width, height) <= limits->max_pixels)
        return true;
    return problem_set(problem, PROBLEM_INVALID, "width",
                       "width: expected at most %zu pixels in all, found %zu x %zu",
                       limits->max_pixels, width, height);
}

static bool check_times(const struct request *request,
                        const struct request_limits *limits,
                        struct problem *problem)
{
    const struct sampling *sampling = &request->sampling;
    size_t tokens =
        (sampling->width / limits->patch) * (sampling->height / limits->patch);
    if (limits->scheduler == NULL ||
        schedule_falls(limits->scheduler, sampling->steps, tokens))
        return true;
    return problem_set(problem, PROBLEM_INVALID, "steps",
                       "steps: expected fewer, or fewer pixels, found %u of %zu x %zu: "
                       "the model's schedule does not tell so many times apart",
                       sampling->steps, sampling->width, sampling->height);
}

static bool check_negative_prompt(const struct request *request,
                                  const struct request_limits *limits,
                                  struct problem *problem)
{
    if (request->negative_prompt_bytes == 0)
        return true;
    const char *when =
        limits->is_distilled ? "on a distilled model" : "when guidance is 1";
    if (!limits->is_distilled && request->sampling.guidance != 1)
        return true;
    return problem_set(problem, PROBLEM_INVALID, "negative_prompt",
                       "negative_prompt has no effect %s", when);
}

/* Image i has seed + i, and no generator takes more than 32 bits of it. */
static bool check_last_seed(const struct request *request, struct problem *problem)
{
    uint64_t last = (uint64_t)request->sampling.seed + request->n - 1;
    if (last <= UINT32_MAX)
        return true;
    return problem_set(problem, PROBLEM_INVALID, "seed",
                       "seed: expected at most %lu, as n is %u, found %lu",
                       (unsigned long)(UINT32_MAX - (request->n - 1)), request->n,
                       (unsigned long)request->sampling.seed);
}

static bool check_min_steps(const struct request *request, struct problem *problem)
{
    if (request->min_steps == 0)
        return true;
    if (request->deadline_milliseconds == 0)
        return problem_set(problem, PROBLEM_INVALID, "min_steps",
                           "min_steps has no effect without deadline_ms");
    if (request->min_steps <= request->sampling.steps)
        return true;
    return problem_set(problem, PROBLEM_INVALID, "min_steps",
                       "min_steps: expected at most steps, which are %u, found %u",
                       request->sampling.steps, request->min_steps);
}

static bool check_previews(const struct request *request,
                           const struct request_limits *limits,
                           struct problem *problem)
{
    return request->preview_every == 0 || limits->allows_previews ||
           problem_set(problem, PROBLEM_INVALID, "preview_every",
                       "preview_every has no effect but in an event stream "
                       "(Accept: text/event-stream)");
}

bool request_check(const struct request *request,
                   const struct request_limits *limits,
                   struct problem *problem)
{
    assert(limits->patch > 0 && (size_t)request->sampling.solver < SOLVER_COUNT);
    return request_field_check_all(request, limits, problem) &&
           check_area(request, limits, problem) &&
           check_times(request, limits, problem) &&
           check_negative_prompt(request, limits, problem) &&
           check_last_seed(request, problem) && check_min_steps(request, problem) &&
           check_previews(request, limits, problem);
}

void request_finish(struct request *request)
{
    if (request == NULL)
        return;
    free(request->prompt);
    free(request->negative_prompt);
    *request = (struct request){0};
}
