/* One sampler serves diffusion models too: a variance-preserving model, run by its own
 * sampler and run by ours as a flow, draws the same image.
 *
 * The model is exact: images are a mixture of normals in two dimensions, the network's
 * answer is the noise eps = -s score at z = a image + s noise. At flow time t it is
 * asked at its own time u with s(u)/a(u) = t/(1 - t), for z = (a + s) x, and becomes
 * the velocity eps - image. DDIM is then Euler's step, and DPM-Solver++(2M), which only
 * sees a and s, is dpmpp_2m, step by step ("Diffusion Meets Flow Matching", 2025). */
#include "sampler/schedule.h"
#include "sampler/solver.h"
#include "tests/check.h"

#include <math.h>

enum { DIMENSIONS = 2, POINTS = 6, N = POINTS * DIMENSIONS, STEPS = 24, COMPONENTS = 3 };

static const double pi = 3.141592653589793;

static const struct component {
    double share, mean[DIMENSIONS], deviation;
} images[COMPONENTS] = {
    {0.5, {-1.2, 0.4}, 0.35}, {0.3, {0.9, 1.1}, 0.25}, {0.2, {0.6, -1.3}, 0.5}};

/* The parameters of z = a image + s noise, a^2 + s^2 = 1. */
struct mixing {
    double a, s;
};

/* exp(-1/2 integral of beta) with beta from 0.1 to 20 over u in [0, 1] (Song et al.
 * 2021, eq. 33); the time of a ratio s/a solves the quadratic. */
static struct mixing linear_mixing(double u)
{
    const double integral = 0.1 * u + 0.5 * 19.9 * u * u;
    return (struct mixing){.a = exp(-0.5 * integral), .s = sqrt(-expm1(-integral))};
}

static double linear_time(double ratio)
{
    const double integral = log1p(ratio * ratio);
    return (-0.1 + sqrt(0.01 + 2.0 * 19.9 * integral)) / 19.9;
}

static struct mixing cosine_mixing(double u)
{
    return (struct mixing){.a = cos(0.5 * pi * u), .s = sin(0.5 * pi * u)};
}

static double cosine_time(double ratio)
{
    return 2.0 / pi * atan(ratio);
}

static const struct diffusion {
    const char *name;
    struct mixing (*mixing)(double u);
    double (*time_of_ratio)(double ratio);
} diffusions[] = {{"linear", linear_mixing, linear_time},
                  {"cosine", cosine_mixing, cosine_time}};

/* What the network would answer at its own time u. */
static void predict_noise(struct mixing mixing, const double *z, double *noise)
{
    double total = 0.0;
    noise[0] = noise[1] = 0.0;
    for (unsigned k = 0; k < COMPONENTS; k++) {
        const struct component *component = &images[k];
        const double spread = hypot(mixing.a * component->deviation, mixing.s);
        const double dx = z[0] - mixing.a * component->mean[0];
        const double dy = z[1] - mixing.a * component->mean[1];
        const double variance = spread * spread;
        const double density =
            component->share / variance * exp(-0.5 * (dx * dx + dy * dy) / variance);
        noise[0] += density * mixing.s * dx / variance;
        noise[1] += density * mixing.s * dy / variance;
        total += density;
    }
    noise[0] /= total;
    noise[1] /= total;
}

static void
flow_velocity(const struct diffusion *diffusion, const float *x, float t, float *v)
{
    const double ratio = (double)t / (1.0 - (double)t);
    const struct mixing mixing = diffusion->mixing(diffusion->time_of_ratio(ratio));
    for (size_t i = 0; i < N; i += DIMENSIONS) {
        double z[DIMENSIONS], noise[DIMENSIONS];
        for (size_t j = 0; j < DIMENSIONS; j++)
            z[j] = (mixing.a + mixing.s) * (double)x[i + j];
        predict_noise(mixing, z, noise);
        for (size_t j = 0; j < DIMENSIONS; j++)
            v[i + j] = (float)(noise[j] - (z[j] - mixing.s * noise[j]) / mixing.a);
    }
}

/* The diffusion sampler's own walk, in double. `image` and `image_before` are the
 * predictions of this step and the last; gap_before is the last step's h, 0 in the
 * first step. */
struct walk {
    double z[N], image[N], image_before[N], gap_before;
};

/* Song et al. 2021 (DDIM), eq. 12 with sigma = 0. */
static void ddim_step(struct walk *walk, struct mixing from, struct mixing to)
{
    for (size_t i = 0; i < N; i++) {
        const double noise = (walk->z[i] - from.a * walk->image[i]) / from.s;
        walk->z[i] = to.a * walk->image[i] + to.s * noise;
    }
}

/* Lu et al. 2022 (DPM-Solver++), algorithm 2 with its eq. 12; first order in the first
 * step and in one that ends at s = 0. */
static void dpmpp_2m_step(struct walk *walk, struct mixing from, struct mixing to)
{
    const double gap = log(to.a / to.s) - log(from.a / from.s);
    const bool first_order = !(walk->gap_before > 0.0) || isinf(gap);
    for (size_t i = 0; i < N; i++) {
        double image = walk->image[i];
        if (!first_order)
            image += 0.5 * gap / walk->gap_before * (image - walk->image_before[i]);
        walk->z[i] = to.s / from.s * walk->z[i] - to.a * expm1(-gap) * image;
    }
    walk->gap_before = gap;
}

static const struct pair {
    enum solver_kind kind;
    void (*step)(struct walk *walk, struct mixing from, struct mixing to);
} pairs[] = {{SOLVER_EULER, ddim_step}, {SOLVER_DPMPP_2M, dpmpp_2m_step}};

static struct mixing mixing_at(const struct diffusion *diffusion, float t)
{
    const double ratio = (double)t / (1.0 - (double)t);
    return diffusion->mixing(diffusion->time_of_ratio(ratio));
}

static void diffusion_step(const struct diffusion *diffusion,
                           const struct pair *pair,
                           struct walk *walk,
                           const float *times)
{
    const struct mixing from = mixing_at(diffusion, times[0]);
    const struct mixing to = mixing_at(diffusion, times[1]);
    for (size_t i = 0; i < N; i += DIMENSIONS) {
        double noise[DIMENSIONS];
        predict_noise(from, walk->z + i, noise);
        for (size_t j = 0; j < DIMENSIONS; j++) {
            walk->image_before[i + j] = walk->image[i + j];
            walk->image[i + j] = (walk->z[i + j] - from.s * noise[j]) / from.a;
        }
    }
    pair->step(walk, from, to);
}

static double distance(const struct walk *walk, struct mixing mixing, const float *x)
{
    double sum = 0.0, size = 0.0;
    for (size_t i = 0; i < N; i++) {
        const double native = walk->z[i] / (mixing.a + mixing.s);
        sum += ((double)x[i] - native) * ((double)x[i] - native);
        size += native * native;
    }
    return sqrt(sum / size);
}

static void check_same_walk(const struct diffusion *diffusion, const struct pair *pair)
{
    /* Both models start just short of t = 1: the linear one never gets to a = 0. */
    static const float start[N] = {-1.3f, 0.2f, 0.8f,  1.4f, 0.1f,  -0.9f,
                                   1.9f,  0.6f, -0.4f, 0.5f, -0.2f, 1.1f};
    float times[STEPS + 1], v[N], t;
    const float *x;
    schedule_times(&(struct scheduler_config){.shift = 3.0}, STEPS, 64, times);
    times[0] = 0.9925f;

    struct walk walk = {.gap_before = 0.0};
    struct mixing mixing = mixing_at(diffusion, times[0]);
    for (size_t i = 0; i < N; i++)
        walk.z[i] = (mixing.a + mixing.s) * (double)start[i];
    struct solver *solver = NULL;
    struct err err;
    CHECK_OK(solver_create(&solver, pair->kind, &(struct solver_grid){times, STEPS},
                           start, N, &err),
             err);
    double worst = 0.0;
    for (unsigned step = 0; solver_want(solver, &x, &t); step++) {
        flow_velocity(diffusion, x, t, v);
        solver_give(solver, v);
        diffusion_step(diffusion, pair, &walk, times + step);
        mixing = mixing_at(diffusion, times[step + 1]);
        worst = fmax(worst, distance(&walk, mixing, solver_state(solver)));
    }
    (void)fprintf(stderr, "%s, %s: largest distance %.2g\n", diffusion->name,
                  solver_name(pair->kind), worst);
    CHECK(worst <= 1e-5);
    solver_destroy(solver);
}

int main(void)
{
    for (size_t i = 0; i < sizeof(diffusions) / sizeof(diffusions[0]); i++)
        for (size_t j = 0; j < sizeof(pairs) / sizeof(pairs[0]); j++)
            check_same_walk(&diffusions[i], &pairs[j]);
    return 0;
}
