/* Any body gives a request or a problem, and any problem is written as JSON. */
#include "api/request_json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct request_limits limits = {
        .max_steps = 100,
        .max_pixels = 128 * 128,
        .patch = 16,
        .defaults = {.steps = 20, .width = 128, .height = 128, .guidance = 3},
    };
    struct request request = {0};
    struct problem problem;
    struct buf out;
    buf_init(&out, 8192);
    bool is_good =
        request_parse(&request, (const char *)data, size, &limits, 1, &problem);
    if (is_good && !request_check(&request, &limits, &problem))
        abort();
    if (!is_good)
        problem_write(&problem, "id", &out);
    if (out.failed)
        abort();
    buf_finish(&out);
    request_finish(&request);
    return 0;
}
