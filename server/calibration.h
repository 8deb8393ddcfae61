/*
 * calibration - what rounds cost on this machine, measured before the first request.
 *
 * Encodes, evaluations and decodes are timed at sizes that grow from the smallest until
 * the model's default, then batches of it, for as long as the next is expected to stay
 * within a budget of time. So a small model is measured where it will be used, and one
 * whose step takes a minute starts from what its smallest sizes say; rounds under way
 * teach the rest (cost_model.h).
 *
 * Threads: by one thread, with scratch memory of its own. Ownership: nothing is kept.
 */
#ifndef SLUICE_SERVER_CALIBRATION_H
#define SLUICE_SERVER_CALIBRATION_H

#include "base/err.h"
#include "server/cost_model.h"
#include "server/model_setup.h"

/* The setup's weights are loaded. ERR_NO_MEMORY, or what the model says. */
enum err_code
calibrate(struct cost_model *costs, const struct model_setup *setup, struct err *err);

#endif
