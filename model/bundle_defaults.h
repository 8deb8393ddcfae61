/*
 * bundle_defaults - what diffusers' files do not say about a model: the optional
 * sluice.json beside model_index.json, and what holds without it.
 *
 * Threads: pure. Ownership: plain values.
 */
#ifndef SLUICE_MODEL_BUNDLE_DEFAULTS_H
#define SLUICE_MODEL_BUNDLE_DEFAULTS_H

#include "model/bundle.h"
#include "model/qwen3.h"

/* Fills name, steps, guidance, width, height and max_pixels of *info, whose is_distilled
 * and patch are set, and *taps (n 0: the default rule). Without the file: the folder's
 * name; 4 steps and guidance 1 when distilled, else 50 and 4; 1024x1024. */
enum err_code bundle_defaults_read(struct bundle_info *info,
                                   struct qwen3_taps *taps,
                                   const char *folder,
                                   struct err *err);

/* Whether the sides fit the patch and the limit; needs info->patch. */
enum err_code bundle_defaults_check(const struct bundle_info *info,
                                    const char *folder,
                                    struct err *err);

#endif
