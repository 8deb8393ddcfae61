/*
 * component - one part of a model folder (text encoder, transformer, autoencoder) from
 * its check to its end, whatever class it is of.
 *
 * Opening is the class's own function: it reads the config and checks the weight files'
 * headers. The rest is the same for all classes and stands here.
 *
 * Threads: one at a time. Ownership: the component owns what the interface beside it
 * (velocity.h, text_encoder.h, autoencoder.h) points to.
 */
#ifndef SLUICE_MODEL_COMPONENT_H
#define SLUICE_MODEL_COMPONENT_H

#include "model/weights.h"

struct component {
    void *self;              /* NULL: not opened */
    struct weights *weights; /* NULL until component_open */

    /* Names every tensor of the model to the weights: run once by component_open, to
     * check, and once by component_load, to read. */
    void (*bind)(void *self, struct weights *weights);
    void (*destroy)(void *self);
};

/* The component has self, bind and destroy, and its config is read: opens
 * <folder>/<stem>.safetensors or its shards, and checks them. ERR_UNSUPPORTED when an
 * adapter lies beside them (adapter_config.json, as PEFT writes it). On failure the
 * component is destroyed. */
enum err_code component_open(struct component *component,
                             const char *folder,
                             const char *stem,
                             const struct kernels *kernels,
                             struct err *err);

/* Reads the weights; each tensor is also added to *digest. */
enum err_code
component_load(struct component *component, struct digest *digest, struct err *err);

/* Accepts a component that was never opened, or half. */
void component_destroy(struct component *component);

#endif
