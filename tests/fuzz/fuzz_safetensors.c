/* Any file is refused with a reason, or all its tensors lie inside it and can be read.
 *
 * An odd first byte: the rest is the file as it is. An even one: the rest is a header,
 * whose length is put before it and some data behind it, so that what lies beyond the
 * length is reached too. */
#define _GNU_SOURCE /* memfd_create */
#include "model/safetensors.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DATA_BYTES = 64 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void put(int fd, const void *data, size_t size)
{
    require(write(fd, data, size) == (ssize_t)size);
}

static void put_file(int fd, const uint8_t *data, size_t size)
{
    if (size == 0 || data[0] % 2 == 1) {
        put(fd, data + (size > 0), size - (size > 0));
        return;
    }
    uint8_t length[8], values[DATA_BYTES] = {0};
    for (size_t i = 0; i < 8; i++)
        length[i] = (uint8_t)((size - 1) >> 8 * i & 0xFF);
    put(fd, length, sizeof(length));
    put(fd, data + 1, size - 1);
    put(fd, values, sizeof(values));
}

static void check_tensor(const struct safetensors *file, const struct tensor *tensor)
{
    uint64_t end = safetensors_file_size(file);
    char shape[SAFETENSORS_SHAPE_TEXT_SIZE];
    require(safetensors_find(file, tensor->name) == tensor);
    require(tensor->rank <= SAFETENSORS_MAX_RANK);
    require(tensor->offset <= end && tensor->bytes <= end - tensor->offset);
    safetensors_shape_text(tensor->shape, tensor->rank, shape);
    void *values = malloc(tensor->bytes + 1);
    require(values != NULL);
    require(safetensors_read(file, tensor, values, NULL) == ERR_OK);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct safetensors *file = NULL;
    struct err err = {0};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0);
    put_file(fd, data, size);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    enum err_code code = safetensors_open(&file, path, &err);
    require(code == ERR_OK ? file != NULL : file == NULL && err.code == code);
    require(code == ERR_OK || strlen(err.message) > strlen(path));
    for (size_t i = 0; code == ERR_OK && i < safetensors_count(file); i++)
        check_tensor(file, safetensors_at(file, i));
    safetensors_close(file);
    (void)close(fd);
    return 0;
}
