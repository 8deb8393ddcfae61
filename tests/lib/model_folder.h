/*
 * model_folder - a copy of a model folder whose files are links, so that a test can
 * replace one of them.
 *
 * Threads: one at a time. Ownership: removed by folder_remove.
 */
#ifndef SLUICE_TESTS_LIB_MODEL_FOLDER_H
#define SLUICE_TESTS_LIB_MODEL_FOLDER_H

#include "base/text.h"
#include "tests/check.h"
#include "tests/lib/folder.h"

#include <stdlib.h>
#include <string.h>

static inline void model_folder_create(char copy[FOLDER_PATH_SIZE], const char *original)
{
    static const char *const parts[] = {"scheduler", "text_encoder", "tokenizer",
                                        "transformer", "vae"};
    char from[FOLDER_PATH_SIZE], to[FOLDER_PATH_SIZE];
    folder_create(copy);
    folder_link(copy, original);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        folder_link(folder_path(copy, parts[i], to),
                    folder_path(original, parts[i], from));
}

/* What stands at `at` of a file of the copy becomes `data`. */
static inline void model_folder_overwrite(
    const char *copy, const char *file, size_t at, const void *data, size_t length)
{
    char path[FOLDER_PATH_SIZE], *bytes;
    size_t size;
    struct err err;
    CHECK_OK(text_read_file(&bytes, &size, folder_path(copy, file, path), 1 << 26, &err),
             err);
    CHECK(at + length <= size);
    memcpy(bytes + at, data, length);
    folder_write(copy, file, bytes, size);
    free(bytes);
}

/* `old`, which must stand in the file of the copy, becomes `new` where it stands first.
 */
static inline void model_folder_replace(const char *copy,
                                        const char *file,
                                        const char *old_text,
                                        const char *new_text)
{
    char path[FOLDER_PATH_SIZE], *text;
    size_t size;
    struct err err;
    CHECK_OK(text_read_file(&text, &size, folder_path(copy, file, path), 1 << 26, &err),
             err);
    const char *found = strstr(text, old_text);
    if (found == NULL) {
        (void)fprintf(stderr, "%s: no %s\n", path, old_text);
        exit(1);
    }
    char *changed = malloc(size + strlen(new_text) + 1);
    CHECK(changed != NULL);
    const size_t before = (size_t)(found - text), behind = before + strlen(old_text);
    memcpy(changed, text, before);
    memcpy(changed + before, new_text, strlen(new_text));
    memcpy(changed + before + strlen(new_text), text + behind, size - behind);
    folder_write(copy, file, changed, before + strlen(new_text) + size - behind);
    free(changed);
    free(text);
}

#endif
