#include "sampler/sampling.h"

#include "sampler/guidance.h"

unsigned sampling_evaluations(const struct sampling *sampling)
{
    const unsigned plain = solver_evaluations(sampling->solver, sampling->steps);
    return guidance_is_on(sampling->guidance) ? 2 * plain : plain;
}
