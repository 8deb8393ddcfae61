#include "sampler/schedule.h"

#include "base/size.h"

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

/* The training time k of step i (DDIMScheduler.set_timesteps of scheduling_ddim.py), with
 * its roundings. Unlike there, one step alone starts from the last k, the only one at
 * which all is noise, and the offset never leads beyond it. */
static size_t
training_time(const struct diffusion_schedule *schedule, unsigned i, unsigned steps)
{
    const size_t all = DIFFUSION_TRAINING_TIMES, last = all - 1, left = steps - 1 - i;
    const size_t stride = all / steps;
    if (steps == 1)
        return last;
    switch (schedule->spacing) {
    case SPACING_LEADING:
        return left * stride +
               size_min(schedule->steps_offset, last - (steps - 1) * stride);
    case SPACING_LINSPACE:
        return (size_t)nearbyint((double)left * ((double)last / (steps - 1)));
    case SPACING_TRAILING:
        break;
    }
    return (size_t)nearbyint((double)all - i * ((double)all / steps)) - 1;
}

static void
diffusion_times(const struct diffusion_schedule *schedule, unsigned steps, float *times)
{
    for (unsigned i = 0; i < steps; i++)
        times[i] = (float)schedule->times[training_time(schedule, i, steps)];
}

static void flow_times(const struct scheduler_config *config,
                       unsigned steps,
                       size_t tokens,
                       float *times)
{
    double strength = schedule_empirical_mu(tokens, steps);
    if (config->type == TIME_SHIFT_EXPONENTIAL)
        strength = exp(strength);
    for (unsigned i = 0; i < steps; i++) {
        const float t = unshifted_time(i, steps);
        times[i] = config->dynamic_shift ? dynamic_shift(strength, t)
                                         : static_shift(config->shift, t);
    }
}

void schedule_times(const struct scheduler_config *config,
                    unsigned steps,
                    size_t tokens,
                    float *times)
{
    assert(steps > 0);
    if (config->is_diffusion)
        diffusion_times(&config->diffusion, steps, times);
    else
        flow_times(config, steps, tokens, times);
    times[steps] = 0.0f;
}

float schedule_noise_scale(const struct scheduler_config *config, float t)
{
    const double first = (double)t, left = 1.0 - first;
    return config->is_diffusion ? (float)sqrt(first * first + left * left) : 1.0f;
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
