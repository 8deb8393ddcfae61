#include "sampler/schedule.h"

#include <assert.h>
#include <math.h>

/* numpy.linspace(1, 1 / steps, steps) cast to float32, element i, before any shift. In
 * double both forms differ in the last bit; the float32 is the same (seen for every
 * number of steps up to 1,000). */
static float unshifted_time(unsigned i, unsigned steps)
{
    return (float)(1.0 - (double)i / steps);
}

/* scheduling_flow_match_euler_discrete.py, set_timesteps: a Python float that meets a
 * float32 array is rounded to float32 first, so every operation here is float32's. */
static float static_shift(double shift, float t)
{
    return (float)shift * t / (1.0f + (float)(shift - 1.0) * t);
}

/* _time_shift_exponential has strength = e^mu, _time_shift_linear mu; their exponent
 * is always 1. */
static float dynamic_shift(double strength, float t)
{
    return (float)strength / ((float)strength + (1.0f / t - 1.0f));
}

void schedule_times(const struct scheduler_config *config,
                    unsigned steps,
                    size_t tokens,
                    float *times)
{
    assert(steps > 0);
    double strength = schedule_empirical_mu(tokens, steps);
    if (config->type == TIME_SHIFT_EXPONENTIAL)
        strength = exp(strength);
    for (unsigned i = 0; i < steps; i++) {
        const float t = unshifted_time(i, steps);
        times[i] = config->dynamic_shift ? dynamic_shift(strength, t)
                                         : static_shift(config->shift, t);
    }
    times[steps] = 0.0f;
}

double schedule_empirical_mu(size_t tokens, unsigned steps)
{
    const double at_200_steps = 0.00016927 * (double)tokens + 0.45666666;
    if (tokens > 4300)
        return at_200_steps;
    const double at_10_steps = 8.73809524e-05 * (double)tokens + 1.89833333;
    const double slope = (at_200_steps - at_10_steps) / 190.0;
    return slope * steps + (at_200_steps - 200.0 * slope);
}
