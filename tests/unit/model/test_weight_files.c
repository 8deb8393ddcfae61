/* One file or the shards that an index names, as one set of tensors; every way in which
 * an index can be wrong; and what of a tensor goes into a digest. */
#include "model/weight_files.h"
#include "tests/check.h"
#include "tests/lib/folder.h"
#include "tests/lib/tensor_file.h"

#include <stdint.h>
#include <string.h>

static char folder[FOLDER_PATH_SIZE];

/* A shard with one F32 tensor of that name, whose values are the number. */
static void write_shard(const char *file, const char *name, float number)
{
    const float values[] = {number, number};
    const struct tensor_entry entry = {name, "F32", "[2]", values, sizeof(values)};
    tensor_file_write(folder, file, &entry, 1);
}

static void
expect_number(const struct weight_files *files, const char *name, float number)
{
    const struct tensor_shape shape = {1, {2}};
    struct weight_place place;
    struct err err;
    float values[2];
    CHECK_OK(weight_files_find(files, name, &shape, &place, &err), err);
    CHECK(strcmp(place.tensor->name, name) == 0);
    CHECK_OK(safetensors_read(place.file, place.tensor, values, &err), err);
    CHECK(memcmp(&values[1], &number, sizeof(number)) == 0);
}

static void test_shards(void)
{
    struct weight_files files;
    struct err err;
    write_shard("s-1", "a", 1.0f);
    write_shard("s-2", "b", 2.0f);
    /* Two names for one shard, and a name that stands in another than the index says. */
    folder_write_text(folder, "m.safetensors.index.json",
                      "{\"metadata\": {}, \"weight_map\": "
                      "{\"a\": \"s-1\", \"b\": \"s-1\", \"c\": \"s-2\"}}");
    CHECK_OK(weight_files_open(&files, folder, "m", &err), err);
    CHECK(files.n == 2 && files.tensors == 2 && files.parameters == 4);
    CHECK(files.bytes > 16);
    expect_number(&files, "a", 1.0f);
    expect_number(&files, "b", 2.0f);
    const struct tensor_shape shape = {1, {2}};
    struct weight_place place;
    CHECK(weight_files_find(&files, "c", &shape, &place, &err) == ERR_NOT_FOUND);
    CHECK(strstr(err.message, "tensor c is missing") != NULL);
    weight_files_close(&files);
    CHECK(files.n == 0);
    weight_files_close(&files);
}

/* A name in two shards is refused, whatever the index says, when it is asked for. */
static void test_twice(void)
{
    const float values[] = {5.0f, 5.0f};
    const struct tensor_entry entries[] = {{"a", "F32", "[2]", values, sizeof(values)},
                                           {"d", "F32", "[2]", values, sizeof(values)}};
    const struct tensor_shape shape = {1, {2}};
    struct weight_files files;
    struct weight_place place = {0};
    struct err err;
    tensor_file_write(folder, "s-4", entries, 2);
    folder_write_text(folder, "m.safetensors.index.json",
                      "{\"weight_map\": {\"a\": \"s-1\", \"d\": \"s-4\"}}");
    CHECK_OK(weight_files_open(&files, folder, "m", &err), err);
    expect_number(&files, "d", 5.0f);
    CHECK(weight_files_find(&files, "a", &shape, &place, &err) == ERR_FORMAT);
    CHECK(strstr(err.message, "s-1: tensor a is in s-4 too, expected in one file") !=
          NULL);
    CHECK(place.file == NULL && place.tensor == NULL);
    weight_files_close(&files);
}

static void expect_bad_index(const char *text, enum err_code code, const char *part)
{
    struct weight_files files;
    struct err err = {0};
    folder_write_text(folder, "m.safetensors.index.json", text);
    CHECK(weight_files_open(&files, folder, "m", &err) == code);
    if (strstr(err.message, part) == NULL ||
        strstr(err.message, "m.safetensors.index.json") == NULL) {
        (void)fprintf(stderr, "'%s', expected '%s'\n", err.message, part);
        exit(1);
    }
    CHECK(files.n == 0);
    CHECK(weight_files_open(&files, folder, "m", NULL) == code);
}

/* A whole file and an index: the index may name the file, but nothing else. */
static void test_both(void)
{
    struct weight_files files;
    struct err err;
    write_shard("m.safetensors", "a", 3.0f);
    folder_write_text(folder, "m.safetensors.index.json",
                      "{\"weight_map\": {\"a\": \"m.safetensors\"}}");
    CHECK_OK(weight_files_open(&files, folder, "m", &err), err);
    CHECK(files.n == 1);
    expect_number(&files, "a", 3.0f);
    weight_files_close(&files);

    static const char *const others[] = {
        "{\"weight_map\": {\"a\": \"m.safetensors\", \"b\": \"s-2\"}}",
        "{\"weight_map\": {\"a\": \"s-9\"}}",
        "{\"weight_map\": {\"a\": 1}}",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        expect_bad_index(others[i], ERR_FORMAT,
                         ": m.safetensors is there, and m.safetensors.index.json, which "
                         "names other files");
    expect_bad_index("{\"weight_map\": ", ERR_FORMAT, "");
    folder_delete(folder, "m.safetensors");
}

static void test_bad_indices(void)
{
    expect_bad_index("{}", ERR_FORMAT, "weight_map is missing");
    expect_bad_index("{\"weight_map\": {}}", ERR_FORMAT,
                     "weight_map is missing or empty");
    expect_bad_index("{\"weight_map\": [\"s-1\"]}", ERR_FORMAT, "weight_map is missing");
    expect_bad_index("{\"weight_map\": {\"a\": 1}}", ERR_FORMAT,
                     "weight_map.a is not a file name");
    expect_bad_index("{\"weight_map\": {\"a\": \"../s-1\"}}", ERR_FORMAT,
                     "a file name without folders");
    expect_bad_index("{\"weight_map\": {\"a\": \"/etc/passwd\"}}", ERR_FORMAT,
                     "a file name without folders");
    expect_bad_index("{\"weight_map\": {\"a\": \"s-1\", \"b\": \"s-9\"}}", ERR_NOT_FOUND,
                     "s-9");
    expect_bad_index("{\"weight_map\": {\"a\": \"..\"}}", ERR_FORMAT,
                     "not a regular file");
    expect_bad_index("{\"weight_map\": ", ERR_FORMAT, "");
    expect_bad_index("{\"weight_map\": {\"a\": \"s-9\"}}", ERR_NOT_FOUND,
                     "s-9: No such file");
    folder_write_text(folder, "s-3", "no tensors");
    expect_bad_index("{\"weight_map\": {\"a\": \"s-1\", \"b\": \"s-3\"}}", ERR_FORMAT,
                     "the header claims");
}

/* More shards than any model has. */
static void test_too_many(void)
{
    enum { MANY = WEIGHT_FILES_MAX + 1 };
    static char index[MANY * 40];
    size_t at = (size_t)snprintf(index, sizeof(index), "{\"weight_map\": {");
    for (int i = 0; i < MANY; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "x%d", i);
        write_shard(name, name, 0.0f);
        at += (size_t)snprintf(index + at, sizeof(index) - at, "%s\"%s\": \"%s\"",
                               i == 0 ? "" : ", ", name, name);
    }
    (void)snprintf(index + at, sizeof(index) - at, "}}");
    expect_bad_index(index, ERR_UNSUPPORTED, "more than 256 shards");
}

static void test_nothing_there(void)
{
    struct weight_files files;
    struct err err = {0};
    folder_delete(folder, "m.safetensors.index.json");
    CHECK(weight_files_open(&files, folder, "m", &err) == ERR_NOT_FOUND);
    CHECK(strstr(err.message, "neither m.safetensors nor m.safetensors.index.json") !=
          NULL);
    /* A whole file that is broken is told as such, though an index would be there. */
    folder_write_text(folder, "m.safetensors", "short");
    folder_write_text(folder, "m.safetensors.index.json",
                      "{\"weight_map\": {\"a\": \"s-1\"}}");
    CHECK(weight_files_open(&files, folder, "m", &err) == ERR_FORMAT);
    CHECK(strstr(err.message, "m.safetensors: 5 bytes, expected at least 8") != NULL);
}

/* What reading n 16-bit tensors of the file, in this order, adds to a digest. */
static void
digest_of(const struct tensor_entry *entries, size_t n, char text[DIGEST_TEXT_SIZE])
{
    struct weight_files files;
    struct digest digest;
    struct err err;
    uint16_t raw[16];
    tensor_file_write(folder, "m.safetensors", entries, n);
    CHECK_OK(weight_files_open(&files, folder, "m", &err), err);
    digest_init(&digest);
    for (size_t i = 0; i < n; i++) {
        const struct tensor_shape shape = {1, {entries[i].bytes / 2}};
        struct weight_place place;
        CHECK_OK(weight_files_find(&files, entries[i].name, &shape, &place, &err), err);
        CHECK_OK(weight_place_read(&place, &digest, raw, &err), err);
        CHECK(memcmp(raw, entries[i].data, entries[i].bytes) == 0);
    }
    digest_finish(&digest, text);
    weight_files_close(&files);
}

/* Files whose names and bytes are the same one after the other. */
static void test_digest(void)
{
    static const struct {
        struct tensor_entry entries[2];
        size_t n;
    } models[] = {
        {{{"a", "F16", "[2]", "bcde", 4}, {"f", "F16", "[2]", "ghij", 4}}, 2},
        {{{"a", "BF16", "[2]", "bcde", 4}, {"f", "F16", "[2]", "ghij", 4}}, 2},
        {{{"abc", "F16", "[1]", "de", 2}, {"f", "F16", "[2]", "ghij", 4}}, 2},
        {{{"a", "F16", "[7]", "bcdef\0F16\0ghij", 14}}, 1},
    };
    enum { COUNT = sizeof(models) / sizeof(models[0]) };
    char texts[COUNT][DIGEST_TEXT_SIZE], again[DIGEST_TEXT_SIZE];
    folder_delete(folder, "m.safetensors.index.json");
    for (size_t i = 0; i < COUNT; i++) {
        digest_of(models[i].entries, models[i].n, texts[i]);
        digest_of(models[i].entries, models[i].n, again);
        CHECK(strcmp(texts[i], again) == 0);
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(texts[i], texts[j]) != 0);
    }
}

int main(void)
{
    folder_create(folder);
    test_shards();
    test_twice();
    test_both();
    test_bad_indices();
    test_too_many();
    test_nothing_there();
    test_digest();
    folder_remove(folder);
    return 0;
}
