#include "server/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static enum err_code file_failed(const char *path, struct err *err)
{
    return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
}

/* Where the file is written first: beside its place, to be renamed; a pipe or a device
 * is written itself. */
static enum err_code
choose_path(char path[PATH_SIZE], const char *output, struct err *err)
{
    struct stat st;
    bool is_there = stat(output, &st) == 0;
    if (is_there && S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "%s: expected a file, found a folder", output);
    bool is_direct = is_there && !S_ISREG(st.st_mode);
    int n = is_direct ? snprintf(path, PATH_SIZE, "%s", output)
                      : snprintf(path, PATH_SIZE, "%s.%ld.tmp", output, (long)getpid());
    if (n < 0 || n >= PATH_SIZE)
        return err_set(err, ERR_INVALID, "%.80s...: the path is too long", output);
    return ERR_OK;
}

static int create_file(const char *path, const char *output)
{
    int flags = O_WRONLY | O_CLOEXEC;
    return open(path, strcmp(path, output) == 0 ? flags : flags | O_CREAT | O_EXCL, 0666);
}

static enum err_code
write_all(int fd, const struct buf *bytes, const char *path, struct err *err)
{
    for (size_t at = 0; at < bytes->length;) {
        ssize_t n = write(fd, bytes->data + at, bytes->length - at);
        if (n < 0 && errno != EINTR)
            return file_failed(path, err);
        at += n > 0 ? (size_t)n : 0;
    }
    return ERR_OK;
}

enum err_code
output_file_write(const char *output, const struct buf *bytes, struct err *err)
{
    char path[PATH_SIZE];
    enum err_code code = choose_path(path, output, err);
    if (code != ERR_OK)
        return code;
    bool is_direct = strcmp(path, output) == 0;
    if (is_direct && bytes == NULL)
        return access(path, W_OK) == 0 ? ERR_OK : file_failed(path, err);
    int fd = create_file(path, output);
    if (fd < 0)
        return file_failed(path, err);
    if (bytes != NULL)
        code = write_all(fd, bytes, path, err);
    if (close(fd) != 0 && code == ERR_OK)
        code = file_failed(path, err);
    if (!is_direct && bytes != NULL && code == ERR_OK && rename(path, output) != 0)
        code = file_failed(output, err);
    if (!is_direct && (bytes == NULL || code != ERR_OK))
        (void)unlink(path);
    return code;
}
