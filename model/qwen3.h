/*
 * qwen3 - Qwen3's decoder as a text encoder: hidden states after some of its layers.
 *
 * Source: transformers, models/qwen3/modeling_qwen3.py, as diffusers'
 * pipelines/flux2/pipeline_flux2_klein.py (_get_qwen3_prompt_embeds) uses it: right
 * padding, causal and padding masks, and the residual stream after each tapped layer side
 * by side: without the final norm, but for a tap after the very last layer. Layers behind
 * the last tap are not computed.
 *
 * Threads: opened and destroyed by one thread; any number may encode at once.
 * Ownership: *component owns the model, *encoder is the interface to it.
 */
#ifndef SLUICE_MODEL_QWEN3_H
#define SLUICE_MODEL_QWEN3_H

#include "model/component.h"
#include "model/text_encoder.h"

enum { QWEN3_MAX_TAPS = 8 };

/* After how many layers the hidden state is taken, rising; n 0: L/4, L/2 and 3L/4 of
 * the L layers, which must be whole. */
struct qwen3_taps {
    size_t n;
    size_t layers[QWEN3_MAX_TAPS];
};

/* Reads <folder>/config.json and checks the weight files beside it. */
enum err_code qwen3_open(struct component *component,
                         struct text_encoder *encoder,
                         const char *folder,
                         const struct kernels *kernels,
                         const struct qwen3_taps *taps,
                         struct err *err);

#endif
