#include "sampler/schedule.h"

#include "base/elementary.h"
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
 * float32 array is rounded to float32 first, so every operation here is float32's. Unlike
 * there, roundings (of a shift of 0.2, say) do not lead beyond 1, where all is noise. */
static float static_shift(double shift, float t)
{
    return fminf((float)shift * t / (1.0f + (float)(shift - 1.0) * t), 1.0f);
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

/* What the shift of a flow's times is made with. */
static double
shift_strength(const struct scheduler_config *config, unsigned steps, size_t tokens)
{
    if (!config->dynamic_shift)
        return config->shift;
    const double mu = schedule_empirical_mu(tokens, steps);
    return config->type == TIME_SHIFT_EXPONENTIAL ? elementary_exp(mu) : mu;
}

/* The time at which step i begins; for i = steps that of the image. */
static float step_time(const struct scheduler_config *config,
                       double strength,
                       unsigned i,
                       unsigned steps)
{
    if (i == steps)
        return 0.0f;
    if (config->is_diffusion)
        return (float)
            config->diffusion.times[training_time(&config->diffusion, i, steps)];
    const float t = unshifted_time(i, steps);
    return config->dynamic_shift ? dynamic_shift(strength, t) : static_shift(strength, t);
}

void schedule_times(const struct scheduler_config *config,
                    unsigned steps,
                    size_t tokens,
                    float *times)
{
    assert(steps > 0);
    const double strength = shift_strength(config, steps, tokens);
    for (unsigned i = 0; i <= steps; i++)
        times[i] = step_time(config, strength, i, steps);
}

bool schedule_falls(const struct scheduler_config *config, unsigned steps, size_t tokens)
{
    assert(steps > 0);
    const double strength = shift_strength(config, steps, tokens);
    float before = 2.0f; /* above all times */
    for (unsigned i = 0; i <= steps; i++) {
        const float t = step_time(config, strength, i, steps);
        if (!(t < before)) /* written so that a NaN fails */
            return false;
        before = t;
    }
    return true;
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
