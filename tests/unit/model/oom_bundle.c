/* Every allocation of opening and loading a model fails once, and each time the refusal
 * is clean: the error says so, nothing is handed out, and (under a leak checker) nothing
 * is lost. */
#include "model/bundle.h"
#include "tests/check.h"
#include "tests/lib/fault.h"

#include <jansson.h>

#include <stdbool.h>
#include <string.h>

static const char MODEL[] = SLUICE_SOURCE_DIR "/tests/golden/two-taps/model";
static const struct kernels *kernels;

static enum err_code open_and_load(struct bundle **bundle, struct err *err)
{
    enum err_code code = bundle_open(bundle, MODEL, kernels, err);
    if (code != ERR_OK)
        return code;
    code = bundle_load(*bundle, err);
    if (code != ERR_OK) {
        bundle_destroy(*bundle);
        *bundle = NULL;
    }
    return code;
}

/* Fails the n-th allocation; false once there is no n-th. The JSON library calls running
 * out of memory a JSON that it cannot read, and does without where it can. */
static bool fails_cleanly(long n, bool with_library)
{
    struct bundle *bundle = NULL;
    struct err err = {0};
    fault_after(n);
    const enum err_code code = open_and_load(&bundle, &err);
    const bool happened = fault_happened();
    fault_after(-1);
    const bool expected = code == ERR_OK ? !happened || with_library
                                         : code == ERR_NO_MEMORY || with_library;
    if (!expected || err.code != code || (code == ERR_OK) != (bundle != NULL) ||
        (code == ERR_OK) != (err.message[0] == '\0')) {
        (void)fprintf(stderr, "allocation %ld: code %d, '%s'\n", n, (int)code,
                      err.message);
        exit(1);
    }
    bundle_destroy(bundle);
    return happened;
}

int main(void)
{
    struct err err;
    long n = 0;
    bundle_init();
    CHECK_OK(kernels_choose(&kernels, NULL, &err), err);
    while (fails_cleanly(n, false))
        n++;
    (void)fprintf(stderr, "%ld allocations\n", n);
    CHECK(n > 100);

    /* The JSON library's too, of which every fifth is tried. */
    json_set_alloc_funcs(malloc, free);
    for (n = 0; fails_cleanly(n, true);)
        n += 5;
    (void)fprintf(stderr, "%ld with those of the JSON library\n", n);
    CHECK(n > 1000);
    return 0;
}
