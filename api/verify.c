#include "api/verify.h"

#include "api/json_text.h"

#include <jansson.h>

#include <string.h>

enum err_code verify_compare(enum verify_result *out,
                             const struct verify_file *given,
                             const struct png_contents *contents,
                             const struct verify_file *fresh,
                             struct err *err)
{
    if (given->length == fresh->length &&
        memcmp(given->png, fresh->png, given->length) == 0) {
        *out = VERIFY_IDENTICAL;
        return ERR_OK;
    }
    struct png_contents again;
    enum err_code code = png_read(&again, fresh->png, fresh->length, SIZE_MAX, err);
    if (code != ERR_OK)
        return code;
    size_t width = contents->width, height = contents->height;
    bool is_same = again.width == width && again.height == height &&
                   memcmp(again.rgb, contents->rgb, width * height * 3) == 0;
    *out = is_same ? VERIFY_SAME_PIXELS : VERIFY_DIFFERENT;
    png_read_finish(&again);
    return ERR_OK;
}

void verify_write(enum verify_result result,
                  const struct parameters *parameters,
                  const char *request_id,
                  const char *version,
                  struct buf *out)
{
    const struct request *request = &parameters->request;
    const struct sampling *sampling = &request->sampling;
    json_t *root = json_pack(
        "{s:b, s:b, s:{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:s},"
        " s:{s:s, s:o}, s:{s:s, s:s}}",
        "identical", result == VERIFY_IDENTICAL, "pixels_identical",
        result != VERIFY_DIFFERENT, "parameters", "prompt", request->prompt,
        "negative_prompt", request->negative_prompt, "seed", (json_int_t)sampling->seed,
        "steps", (json_int_t)sampling->steps, "width", (json_int_t)sampling->width,
        "height", (json_int_t)sampling->height, "guidance", sampling->guidance, "solver",
        solver_name(sampling->solver), "made_by", "model_hash", parameters->model_hash,
        "version", json_text_make(parameters->version), "verified_by", "model_hash",
        parameters->model_hash, "version", version);
    json_text_write(json_text_add(root, "id", request_id), out);
}
