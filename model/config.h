/*
 * config - one JSON file of a model folder, and its values, each checked for kind and
 * range.
 *
 * The first value that is missing or wrong is remembered; the calls after it do nothing.
 * So a model reads all it needs line by line and looks once, at config_check.
 *
 * Threads: one at a time. Ownership: a config owns its JSON until config_close; strings
 * are borrowed from it.
 */
#ifndef SLUICE_MODEL_CONFIG_H
#define SLUICE_MODEL_CONFIG_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { CONFIG_PATH_SIZE = 1024, CONFIG_MAX_BYTES = 1024 * 1024 };

struct config {
    char path[CONFIG_PATH_SIZE];
    void *json; /* the library's object, see config.c */
    struct err err;
};

/* Reads <folder>/<file>. ERR_NOT_FOUND when there is no such file. */
enum err_code
config_open(struct config *config, const char *folder, const char *file, struct err *err);
void config_close(struct config *config);

/* The first failure since config_open, if any. */
enum err_code config_check(const struct config *config, struct err *err);

/* Remembers a failure of the caller's own checks, with the file's path before it. */
void config_refuse(struct config *config, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool config_has(const struct config *config, const char *key);

/* No other keys than these. */
void config_expect_keys(struct config *config, const char *const *keys, size_t n);

/* An integer in [low, high]. Absent or null: the fallback, if config_size_or. */
size_t config_size(struct config *config, const char *key, size_t low, size_t high);
size_t config_size_or(
    struct config *config, const char *key, size_t low, size_t high, size_t fallback);

/* A number in [low, high]; absent or null: the fallback. */
double config_number_or(
    struct config *config, const char *key, double low, double high, double fallback);

bool config_flag_or(struct config *config, const char *key, bool fallback);

/* A string; absent or null: the fallback, which may be NULL. */
const char *config_text_or(struct config *config, const char *key, const char *fallback);

/* Refuses true, which asks for what is not implemented; absent and null mean false. */
void config_expect_false(struct config *config, const char *key);

/* Refuses any value; absent is fine. */
void config_expect_null(struct config *config, const char *key);

/* Refuses any other value than `expected`; absent is refused too. */
void config_expect_text(struct config *config, const char *key, const char *expected);

/* A list of n strings, each the expected one; absent or null is fine. */
void config_expect_texts(struct config *config,
                         const char *key,
                         const char *expected,
                         size_t n);

/* A list of 1 to `most` integers in [low, high]; returns how many, 0 when absent. */
size_t config_sizes(struct config *config,
                    const char *key,
                    size_t low,
                    size_t high,
                    size_t *values,
                    size_t most);

/* The second entry of the list `key` ("transformer": ["diffusers", "Flux2..."]); NULL and
 * a failure when it is not there. */
const char *config_class(struct config *config, const char *key);

/* The same of a value inside an object: "rope_theta" of "rope_parameters", for files that
 * nest it there. The object may be absent. */
double config_nested_number_or(struct config *config,
                               const char *object,
                               const char *key,
                               double low,
                               double high,
                               double fallback);
const char *config_nested_text_or(struct config *config,
                                  const char *object,
                                  const char *key,
                                  const char *fallback);

#endif
