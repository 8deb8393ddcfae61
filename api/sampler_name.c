#include "api/sampler_name.h"

#include "base/text.h"

/* modules/sd_samplers_kdiffusion.py of Automatic1111. */
static const char *const names[SOLVER_COUNT] = {
    [SOLVER_EULER] = "Euler", [SOLVER_MIDPOINT] = "Midpoint", [SOLVER_HEUN] = "Heun",
    [SOLVER_AB2] = "AB2",     [SOLVER_DPMPP_2M] = "DPM++ 2M",
};

const char *sampler_name(enum solver_kind solver)
{
    return names[solver];
}

bool sampler_from_name(const char *name, enum solver_kind *solver)
{
    for (unsigned i = 0; i < SOLVER_COUNT; i++) {
        enum solver_kind kind = (enum solver_kind)i;
        if (text_equal_ignoring_case(name, names[i]) ||
            text_equal_ignoring_case(name, solver_name(kind))) {
            *solver = kind;
            return true;
        }
    }
    return false;
}
