/*
 * bundle - a model folder in diffusers layout: what it holds, and the parts that run.
 *
 * bundle_open reads every config and every weight file's header and checks names,
 * shapes, types and offsets; it is cheap even for a model of many gigabytes.
 * bundle_load then reads the weights that are used.
 *
 *   model_index.json  transformer/  text_encoder/  tokenizer/  vae/  scheduler/
 *   sluice.json (optional): name, steps, guidance, width, height, max_pixels, text_taps
 *
 * Threads: open and load by one thread; constant afterwards, so that any number of
 * workers may encode, evaluate and decode at once. Ownership: new from bundle_open,
 * freed by bundle_destroy; what the getters return is borrowed from the bundle.
 */
#ifndef SLUICE_MODEL_BUNDLE_H
#define SLUICE_MODEL_BUNDLE_H

#include "base/digest.h"
#include "model/autoencoder.h"
#include "model/kernels/kernels.h"
#include "model/scheduler_config.h"
#include "model/text_encoder.h"
#include "model/tokenizer.h"
#include "model/velocity.h"

#include <stdbool.h>
#include <stddef.h>

enum { BUNDLE_NAME_SIZE = 64, BUNDLE_PART_COUNT = 3 };

enum bundle_part { BUNDLE_TEXT_ENCODER, BUNDLE_TRANSFORMER, BUNDLE_AUTOENCODER };

/* One component's share of the folder and of memory. */
struct bundle_part_info {
    const char *label;      /* "transformer" */
    const char *class_name; /* "Flux2Transformer2DModel" */
    size_t parameters;      /* elements of all the tensors the model is made of */
    size_t file_bytes;      /* of its weight files */
    size_t memory_bytes;    /* of the tensors that are used, as kept in memory */
    size_t unused_tensors;  /* in the files, but not used to generate */
};

struct bundle_info {
    char name[BUNDLE_NAME_SIZE];
    char digest[DIGEST_TEXT_SIZE]; /* empty until bundle_load */
    const char *family;            /* "FLUX.2-klein" */
    const char *kernels;           /* their name */
    const char *arithmetic;        /* theirs: the same word, the same bits */
    bool is_distilled;
    unsigned steps; /* defaults of a request that names none */
    double guidance;
    size_t width, height; /* pixels */
    size_t max_pixels;    /* the model's own limit */
    size_t patch;         /* sides are multiples of this */
    size_t latent_channels;
    size_t text_tokens; /* every prompt becomes this many tokens */
    size_t text_width;  /* floats a token in the context */
    struct scheduler_config scheduler;
    struct bundle_part_info parts[BUNDLE_PART_COUNT];
};

struct bundle;

/* Keeps each product to the thread that asks for it. Call once, before other threads
 * start. */
void bundle_init(void);

/* kernels: what the model computes with (kernels_choose); borrowed. */
enum err_code bundle_open(struct bundle **out,
                          const char *folder,
                          const struct kernels *kernels,
                          struct err *err);
void bundle_destroy(struct bundle *bundle);

const struct bundle_info *bundle_info(const struct bundle *bundle);

/* What one worker may be asked for at once. */
struct bundle_load_limits {
    size_t max_pixels;   /* of one image */
    size_t round_items;  /* velocities of one evaluation */
    size_t round_tokens; /* their latent tokens together */
};

/* Bytes of scratch one worker needs under these limits: the largest need of an encode, a
 * velocity evaluation and a decode. */
size_t bundle_scratch(const struct bundle *bundle,
                      const struct bundle_load_limits *limits);

/* Reads the weights, refuses NaN and infinity in them, compares the matrix product of
 * each shape in use with plain C, and computes info's digest: SHA-256 over the config
 * files and the tensors that are used. */
enum err_code bundle_load(struct bundle *bundle, struct err *err);

/* The parts that run; only after bundle_load. */
const struct tokenizer *bundle_tokenizer(const struct bundle *bundle);
const struct text_encoder *bundle_text_encoder(const struct bundle *bundle);
const struct velocity *bundle_velocity(const struct bundle *bundle);
const struct autoencoder *bundle_autoencoder(const struct bundle *bundle);

#endif
