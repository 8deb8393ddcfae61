#include "model/diffusion_schedule.h"

#include "base/elementary.h"

#include <math.h>
#include <string.h>

enum { N = DIFFUSION_TRAINING_TIMES };

/* betas[k] is the share of the variance that the noise of training time k replaces
 * (scheduling_ddpm.py, DDPMScheduler.__init__). */
struct beta_range {
    double start, end;
};

static void linear_betas(struct beta_range range, double betas[N])
{
    for (size_t k = 0; k < N; k++)
        betas[k] = range.start + (range.end - range.start) * (double)k / (N - 1);
}

static void scaled_linear_betas(struct beta_range range, double betas[N])
{
    linear_betas((struct beta_range){sqrt(range.start), sqrt(range.end)}, betas);
    for (size_t k = 0; k < N; k++)
        betas[k] *= betas[k];
}

/* Nichol and Dhariwal 2021, eq. 17. */
static double cosine_signal(size_t k)
{
    static const double quarter_turn = 1.5707963267948966, offset = 0.008;
    const double amplitude =
        elementary_cos(((double)k / N + offset) / (1.0 + offset) * quarter_turn);
    return amplitude * amplitude;
}

static void cosine_betas(struct beta_range range, double betas[N])
{
    static const double most = 0.999;
    (void)range;
    for (size_t k = 0; k < N; k++)
        betas[k] = fmin(1.0 - cosine_signal(k + 1) / cosine_signal(k), most);
}

static const struct beta_schedule {
    const char *name;
    void (*fill)(struct beta_range range, double betas[N]);
} beta_schedules[] = {
    {"linear", linear_betas},
    {"scaled_linear", scaled_linear_betas},
    {"squaredcos_cap_v2", cosine_betas},
};

/* A name of the file, as the value that it stands for. */
struct word {
    const char *name;
    int value;
};

static const struct word predictions[] = {
    {"epsilon", PREDICTION_NOISE},
    {"v_prediction", PREDICTION_V},
    {"sample", PREDICTION_IMAGE},
};

static const struct word spacings[] = {
    {"leading", SPACING_LEADING},
    {"linspace", SPACING_LINSPACE},
    {"trailing", SPACING_TRAILING},
};

static int read_word(struct config *config,
                     const char *key,
                     const struct word words[3],
                     const char *fallback)
{
    const char *name = config_text_or(config, key, fallback);
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(name, words[i].name) == 0)
            return words[i].value;
    }
    config_refuse(config, "%s is \"%.40s\", expected %s, %s or %s", key, name,
                  words[0].name, words[1].name, words[2].name);
    return words[0].value;
}

static void read_betas(struct config *config, double betas[N])
{
    const char *name = config_text_or(config, "beta_schedule", "linear");
    const struct beta_range range = {
        .start = config_number_or(config, "beta_start", 1e-9, 0.5, 0.0001),
        .end = config_number_or(config, "beta_end", 1e-9, 0.999, 0.02),
    };
    size_t i = 0, count = sizeof(beta_schedules) / sizeof(beta_schedules[0]);
    while (i < count && strcmp(name, beta_schedules[i].name) != 0)
        i++;
    if (i == count)
        config_refuse(config,
                      "beta_schedule is \"%.40s\", expected linear, scaled_linear or "
                      "squaredcos_cap_v2",
                      name);
    beta_schedules[i < count ? i : 0].fill(range, betas);
}

/* a[k] of the betas; `zero_end` shifts and scales them so that the last is 0
 * (rescale_zero_terminal_snr; arXiv 2305.08891, algorithm 1). */
static void fill_amplitudes(const double betas[N], bool zero_end, double a[N])
{
    double product = 1.0;
    for (size_t k = 0; k < N; k++) {
        product *= 1.0 - betas[k];
        a[k] = sqrt(product);
    }
    const double first = a[0], last = a[N - 1];
    for (size_t k = 0; zero_end && k < N; k++)
        a[k] = (a[k] - last) * first / (first - last);
}

static void refuse_unsupported(struct config *config,
                               bool zero_end,
                               enum diffusion_prediction prediction)
{
    if (config_flag_or(config, "clip_sample", true))
        config_refuse(config, "clip_sample: only false is supported (absent means true)");
    config_expect_false(config, "thresholding");
    config_expect_null(config, "trained_betas");
    if (zero_end && prediction == PREDICTION_NOISE)
        config_refuse(config, "rescale_betas_zero_snr: nothing of an image is left to be "
                              "found by prediction_type epsilon");
}

/* Solvers need times that differ in float32. */
static void
fill_times(struct diffusion_schedule *schedule, const double a[N], struct config *config)
{
    for (size_t k = 0; k < N; k++) {
        const double s = sqrt(1.0 - a[k] * a[k]);
        schedule->times[k] = s / (a[k] + s);
        if (k > 0 && !((float)schedule->times[k] > (float)schedule->times[k - 1]))
            config_refuse(config,
                          "beta_start, beta_end: expected more noise at training time "
                          "%zu than at the one before it",
                          k);
    }
}

void diffusion_schedule_read(struct diffusion_schedule *schedule, struct config *config)
{
    double betas[N], a[N];
    const bool zero_end = config_flag_or(config, "rescale_betas_zero_snr", false);
    *schedule = (struct diffusion_schedule){
        .prediction = (enum diffusion_prediction)read_word(config, "prediction_type",
                                                           predictions, "epsilon"),
        .spacing = (enum diffusion_spacing)read_word(config, "timestep_spacing", spacings,
                                                     "leading"),
        .steps_offset = (unsigned)config_size_or(config, "steps_offset", 0, N - 1, 0),
    };
    read_betas(config, betas);
    refuse_unsupported(config, zero_end, schedule->prediction);
    fill_amplitudes(betas, zero_end, a);
    fill_times(schedule, a, config);
}

double diffusion_schedule_network_time(const struct diffusion_schedule *schedule,
                                       double t)
{
    const double *times = schedule->times;
    size_t low = 0, high = N - 1;
    if (t <= times[low])
        return 0.0;
    if (t >= times[high])
        return (double)high / N;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (times[middle] <= t)
            low = middle;
        else
            high = middle;
    }
    const double part = (t - times[low]) / (times[high] - times[low]);
    return ((double)low + part) / N;
}
