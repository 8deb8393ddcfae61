/*
 * flux2 - the FLUX.2 transformer as a velocity.
 *
 * Source: diffusers, models/transformers/transformer_flux2.py
 * (Flux2Transformer2DModel.forward). Guidance embeddings and reference images are not
 * part of klein and are refused or absent.
 *
 * Threads: opened and destroyed by one thread; any number may evaluate at once.
 * Ownership: *component owns the model, *velocity is the interface to it.
 */
#ifndef SLUICE_MODEL_FLUX2_H
#define SLUICE_MODEL_FLUX2_H

#include "model/component.h"
#include "model/velocity.h"

/* Reads <folder>/config.json and checks the weight files beside it. */
enum err_code flux2_open(struct component *component,
                         struct velocity *velocity,
                         const char *folder,
                         const struct kernels *kernels,
                         struct err *err);

#endif
