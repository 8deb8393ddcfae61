/*
 * tensor_file - writes a small safetensors file for a test.
 *
 * Threads: one at a time. Ownership: none; everything is copied into the file.
 */
#ifndef SLUICE_TESTS_LIB_TENSOR_FILE_H
#define SLUICE_TESTS_LIB_TENSOR_FILE_H

#include "tests/check.h"
#include "tests/lib/folder.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct tensor_entry {
    const char *name, *dtype, *shape; /* "F32", "[2, 3]" */
    const void *data;
    size_t bytes;
};

static inline void tensor_file_write(const char *folder,
                                     const char *name,
                                     const struct tensor_entry *entries,
                                     size_t n)
{
    enum { ROOM = 64 * 1024 };
    size_t at = 8, total = ROOM, begin = 0;
    for (size_t i = 0; i < n; i++)
        total += entries[i].bytes;
    char *file = malloc(total);
    CHECK(file != NULL);
    for (size_t i = 0; i < n; i++) {
        at += (size_t)snprintf(file + at, ROOM - at,
                               "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,"
                               "\"data_offsets\":[%zu,%zu]}",
                               i == 0 ? "{" : ",", entries[i].name, entries[i].dtype,
                               entries[i].shape, begin, begin + entries[i].bytes);
        CHECK(at + 2 < ROOM);
        begin += entries[i].bytes;
    }
    file[at++] = '}';
    for (size_t i = 0; i < 8; i++)
        file[i] = (char)((uint64_t)(at - 8) >> 8 * i & 0xFF);
    for (size_t i = 0; i < n; i++) {
        memcpy(file + at, entries[i].data, entries[i].bytes);
        at += entries[i].bytes;
    }
    folder_write(folder, name, file, at);
    free(file);
}

#endif
