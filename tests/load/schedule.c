#include "tests/load/schedule.h"

#include <math.h>

/* SplitMix64 (Steele, Lea, Flood 2014, figure 16). */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* In [0, 1). */
static double draw_share(struct schedule *schedule)
{
    return (double)(draw(&schedule->random) >> 11) * 0x1p-53;
}

/* The distances of a Poisson process are exponential. */
static double draw_distance(struct schedule *schedule)
{
    const double share = draw_share(schedule);
    return (schedule->options->constant ? 1.0 : -log1p(-share)) / schedule->options->rate;
}

void schedule_init(struct schedule *schedule,
                   const struct load_options *options,
                   uint64_t begin)
{
    *schedule = (struct schedule){
        .options = options, .random = options->random_seed, .begin = begin};
    if (options->rate > 0)
        schedule->next = draw_distance(schedule);
}

bool schedule_is_over(const struct schedule *schedule, uint64_t now)
{
    const struct load_options *options = schedule->options;
    if (options->count > 0 && schedule->planned >= options->count)
        return true;
    if (options->seconds <= 0)
        return false;
    /* What is due within the time is sent, also when the generator is late itself. */
    const double at =
        options->rate > 0 ? schedule->next : (double)(now - schedule->begin) * 1e-9;
    return at >= options->seconds;
}

uint64_t schedule_due(const struct schedule *schedule)
{
    return schedule->begin + (uint64_t)(schedule->next * 1e9);
}

static uint16_t draw_mix(struct schedule *schedule)
{
    const struct load_options *options = schedule->options;
    double sum = 0;
    for (size_t i = 0; i < options->mix_count; i++)
        sum += options->mixes[i].weight;
    double at = draw_share(schedule) * sum;
    size_t mix = 0;
    while (mix + 1 < options->mix_count && at >= options->mixes[mix].weight)
        at -= options->mixes[mix++].weight;
    return (uint16_t)mix;
}

struct plan schedule_take(struct schedule *schedule, uint64_t now)
{
    const struct load_options *options = schedule->options;
    struct plan plan = {
        .due = options->rate > 0 ? schedule_due(schedule) : now,
        .seed = (uint32_t)(options->first_seed + schedule->planned),
        .mix = draw_mix(schedule),
        .leaves = draw_share(schedule) < options->leave_share,
    };
    schedule->planned++;
    if (options->rate > 0)
        schedule->next += draw_distance(schedule);
    return plan;
}
