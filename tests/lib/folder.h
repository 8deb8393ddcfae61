/*
 * folder - a folder for one test's files, below TMPDIR or the system's own place.
 *
 * A file of a folder may be a link to one of the tree, so that a whole model is there for
 * the price of its names, and one file of it can be replaced.
 *
 * Threads: one at a time. Ownership: whoever creates a folder removes it; it may hold
 * files and folders of files.
 */
#ifndef SLUICE_TESTS_LIB_FOLDER_H
#define SLUICE_TESTS_LIB_FOLDER_H

#include "tests/check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_PATH_SIZE = 512 };

static inline const char *
folder_path(const char *folder, const char *name, char path[FOLDER_PATH_SIZE])
{
    int n = snprintf(path, FOLDER_PATH_SIZE, "%s/%s", folder, name);
    CHECK(n > 0 && n < FOLDER_PATH_SIZE);
    return path;
}

/* A new empty folder, whose path is written to `folder`. */
static inline void folder_create(char folder[FOLDER_PATH_SIZE])
{
    const char *parent = getenv("TMPDIR");
    (void)folder_path(parent != NULL ? parent : "/tmp", "sluice-test-XXXXXX", folder);
    CHECK(mkdtemp(folder) != NULL);
}

/* Writes a file; one of the same name, or a link, gives way. */
static inline void
folder_write(const char *folder, const char *name, const void *data, size_t length)
{
    char path[FOLDER_PATH_SIZE];
    (void)unlink(folder_path(folder, name, path));
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(fwrite(data, 1, length, file) == length);
    CHECK(fclose(file) == 0);
}

static inline void
folder_write_text(const char *folder, const char *name, const char *text)
{
    folder_write(folder, name, text, strlen(text));
}

static inline void folder_delete(const char *folder, const char *name)
{
    char path[FOLDER_PATH_SIZE];
    CHECK(unlink(folder_path(folder, name, path)) == 0);
}

/* Makes `folder` with a link for each file of `original`, by its absolute path. */
static inline void folder_link(const char *folder, const char *original)
{
    char path[FOLDER_PATH_SIZE], target[FOLDER_PATH_SIZE];
    struct stat st;
    (void)mkdir(folder, 0700);
    DIR *entries = opendir(original);
    CHECK(entries != NULL);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        CHECK(stat(folder_path(original, entry->d_name, target), &st) == 0);
        if (S_ISREG(st.st_mode))
            CHECK(symlink(target, folder_path(folder, entry->d_name, path)) == 0);
    }
    (void)closedir(entries);
}

/* Removes the files of a folder, and the folder when nothing else is in it. */
static inline void folder_remove_files(const char *folder)
{
    char path[FOLDER_PATH_SIZE];
    DIR *entries = opendir(folder);
    CHECK(entries != NULL);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        (void)unlink(folder_path(folder, entry->d_name, path));
    (void)closedir(entries);
    (void)rmdir(folder);
}

static inline void folder_remove(const char *folder)
{
    char path[FOLDER_PATH_SIZE];
    DIR *entries = opendir(folder);
    CHECK(entries != NULL);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        struct stat st;
        if (entry->d_name[0] != '.' &&
            lstat(folder_path(folder, entry->d_name, path), &st) == 0 &&
            S_ISDIR(st.st_mode))
            folder_remove_files(path);
    }
    (void)closedir(entries);
    folder_remove_files(folder);
    CHECK(access(folder, F_OK) != 0);
}

#endif
