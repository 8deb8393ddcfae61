#include "model/flux2_embed.h"

#include "base/elementary.h"
#include "base/size.h"
#include "model/kernels/rotary.h"

#include <string.h>

enum { TIME_SCALE = 1000 };

/* The time as cosines and sines of falling frequencies (diffusers embeddings.py,
 * get_timestep_embedding with flip_sin_to_cos), in float32 as there: at t = 1000 a
 * different rounding of the angle would show in the result. */
void flux2_embed_time(const struct flux2_config *config, float t, float *embedding)
{
    size_t half = config->time_channels / 2;
    for (size_t k = 0; k < half; k++) {
        float exponent = (float)-elementary_log(10000.0) * (float)k / (float)half;
        float angle = t * (float)TIME_SCALE * (float)elementary_exp((double)exponent);
        embedding[k] = (float)elementary_cos((double)angle);
        embedding[half + k] = (float)elementary_sin((double)angle);
    }
}

/* Angles of every axis at positions 0 to n - 1: [n, head_size / 2]. */
static void
set_angles(const struct flux2_config *config, size_t n, float *cosine, float *sine)
{
    for (size_t position = 0; position < n; position++) {
        for (size_t a = 0; a < FLUX2_AXES; a++) {
            rotary_angles((double)position, config->theta, config->axes[a], cosine, sine);
            cosine += config->axes[a] / 2;
            sine += config->axes[a] / 2;
        }
    }
}

/* The position of a token has four coordinates: time, height, width, place in the text.
 * As the klein pipeline numbers them, text token i is (0, 0, 0, i), the image token at
 * (h, w) is (0, h, w, 0). Angles are computed once a position and copied. */
void flux2_embed_positions(const struct flux2_config *config,
                           const struct flux2_grid *grid,
                           float *room,
                           float *cosine,
                           float *sine)
{
    size_t text = grid->text, half = config->sizes.head_size / 2;
    size_t longest = size_max(text, size_max(grid->height, grid->width));
    float *cosines = room, *sines = room + longest * half;
    set_angles(config, longest, cosines, sines);
    for (size_t token = 0; token < text + grid->height * grid->width; token++) {
        size_t place = token < text ? 0 : token - text, to = token * half;
        size_t position[FLUX2_AXES] = {0, place / grid->width, place % grid->width,
                                       token < text ? token : 0};
        for (size_t a = 0, at = 0; a < FLUX2_AXES; a++) {
            size_t n = config->axes[a] / 2, from = position[a] * half + at;
            memcpy(cosine + to + at, cosines + from, n * sizeof(float));
            memcpy(sine + to + at, sines + from, n * sizeof(float));
            at += n;
        }
    }
}
