/*
 * autoencoder_kl - the decoder of AutoencoderKLFlux2.
 *
 * Source: diffusers, models/autoencoders/autoencoder_kl_flux2.py and vae.py (Decoder),
 * and pipelines/flux2/pipeline_flux2_klein.py for what comes before it: latents are
 * de-normalised by the running mean and variance of the batch norm, then unpatchified.
 * The encoder's tensors are not read.
 *
 * Threads: opened and destroyed by one thread; any number may decode at once.
 * Ownership: *component owns the model, *autoencoder is the interface to it.
 */
#ifndef SLUICE_MODEL_AUTOENCODER_KL_H
#define SLUICE_MODEL_AUTOENCODER_KL_H

#include "model/autoencoder.h"
#include "model/component.h"

/* Reads <folder>/config.json and checks the weight files beside it. */
enum err_code autoencoder_kl_open(struct component *component,
                                  struct autoencoder *autoencoder,
                                  const char *folder,
                                  const struct kernels *kernels,
                                  struct err *err);

#endif
