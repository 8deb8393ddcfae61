/*
 * chat_template - what klein puts around a prompt before it becomes tokens, and whether a
 * model folder means the same.
 *
 * A folder brings its template as a program in Jinja, which is not run here: one form
 * stands in this module (diffusers pipeline_flux2_klein.py, _get_qwen3_prompt_embeds: the
 * prompt as the user's message, then the beginning of an answer, thinking off), and a
 * template that could write another is refused by its parts.
 *
 * Threads: pure functions. Ownership: texts are borrowed.
 */
#ifndef SLUICE_MODEL_CHAT_TEMPLATE_H
#define SLUICE_MODEL_CHAT_TEMPLATE_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

/* The added tokens that the template is made of: the i-th, NULL after the last. */
const char *chat_template_token(size_t i);

/* Appends the prompt and what stands around it to `out`, an empty buf that is made as
 * large as that needs; out->failed when there is no memory. */
void chat_template_apply(struct buf *out, const char *prompt, size_t length);

/* Whether a template's source (NUL-terminated) has the parts of klein's. ERR_UNSUPPORTED
 * names the part that is missing, or a system's text that it would add by itself. */
enum err_code chat_template_check(const char *source, struct err *err);

/* The same of <folder>/chat_template.jinja; ERR_NOT_FOUND when there is none. */
enum err_code chat_template_check_file(const char *folder, struct err *err);

#endif
