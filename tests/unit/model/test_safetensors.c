/* Good files of every kind, and each rule of the format broken in turn: what is wrong is
 * told with the file's path, the tensor's name and what was expected. */
#include "model/safetensors.h"
#include "tests/check.h"
#include "tests/lib/draw.h"
#include "tests/lib/folder.h"

#include <string.h>

static char folder[FOLDER_PATH_SIZE], path[FOLDER_PATH_SIZE];

/* A file whose first 8 bytes claim `claimed`, then the header, then n bytes 0, 1, 2, ...
 */
static void write_file(uint64_t claimed, const char *header, size_t n)
{
    const size_t length = strlen(header), size = 8 + length + n;
    unsigned char *bytes = malloc(size);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(claimed >> 8 * i & 0xFF);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < n; i++)
        bytes[8 + length + i] = (unsigned char)(i & 0xFF);
    folder_write(folder, "file", bytes, size);
    free(bytes);
}

static struct safetensors *open_good(const char *header, size_t n)
{
    struct safetensors *file = NULL;
    struct err err;
    write_file(strlen(header), header, n);
    CHECK_OK(safetensors_open(&file, path, &err), err);
    CHECK(strcmp(safetensors_path(file), path) == 0);
    CHECK(safetensors_file_size(file) == 8 + strlen(header) + n);
    return file;
}

/* Of the file as it was written last: refused, and the message holds both parts. */
static void expect_refusal(enum err_code code, const char *part, const char *other)
{
    struct safetensors *file = NULL;
    struct err err = {0};
    const enum err_code found = safetensors_open(&file, path, &err);
    if (found != code || strstr(err.message, part) == NULL ||
        strstr(err.message, other) == NULL || file != NULL) {
        (void)fprintf(stderr, "code %d, message '%s', expected '%s' and '%s'\n",
                      (int)found, err.message, part, other);
        exit(1);
    }
    CHECK(err.code == code && strstr(err.message, path) == err.message);
    CHECK(safetensors_open(&file, path, NULL) == code);
}

static void expect_bad(const char *header, size_t n, const char *part, const char *other)
{
    write_file(strlen(header), header, n);
    expect_refusal(ERR_FORMAT, part, other);
}

static void test_types(void)
{
    static const char *const header =
        "{\"__metadata__\": {\"format\": \"pt\"},"
        " \"bf16\": {\"dtype\": \"BF16\", \"shape\": [2, 3], \"data_offsets\": [24, 36]},"
        " \"f32\": {\"dtype\": \"F32\", \"shape\": [2, 1, 3], \"data_offsets\": [0, 24]},"
        " \"i64\": {\"dtype\": \"I64\", \"shape\": [], \"data_offsets\": [36, 44]},"
        " \"f16\": {\"dtype\": \"F16\", \"shape\": [1], \"data_offsets\": [44, 46]},"
        " \"u8\": {\"dtype\": \"U8\", \"shape\": [0, 4], \"data_offsets\": [46, 46]},"
        " \"bool\": {\"dtype\": \"BOOL\", \"shape\": [1], \"data_offsets\": [46, 47]}}  "
        " ";
    static const struct {
        const char *name;
        enum dtype dtype;
        size_t rank, elements, bytes, begin;
    } expected[] = {
        {"f32", DTYPE_F32, 3, 6, 24, 0},  {"bf16", DTYPE_BF16, 2, 6, 12, 24},
        {"i64", DTYPE_I64, 0, 1, 8, 36},  {"f16", DTYPE_F16, 1, 1, 2, 44},
        {"u8", DTYPE_OTHER, 2, 0, 0, 46}, {"bool", DTYPE_OTHER, 1, 1, 1, 46},
    };
    struct safetensors *file = open_good(header, 47);
    CHECK(safetensors_count(file) == 6);
    for (size_t i = 0; i < 6; i++) {
        const struct tensor *t = safetensors_at(file, i);
        unsigned char data[64];
        struct err err;
        CHECK(strcmp(t->name, expected[i].name) == 0);
        CHECK(safetensors_find(file, expected[i].name) == t);
        CHECK(t->dtype == expected[i].dtype && t->rank == expected[i].rank);
        CHECK(t->elements == expected[i].elements && t->bytes == expected[i].bytes);
        CHECK(t->offset == 8 + strlen(header) + expected[i].begin);
        CHECK_OK(safetensors_read(file, t, data, &err), err);
        for (size_t k = 0; k < t->bytes; k++)
            CHECK(data[k] == expected[i].begin + k);
    }
    CHECK(strcmp(safetensors_at(file, 0)->dtype_name, "F32") == 0);
    CHECK(safetensors_at(file, 0)->shape[1] == 1 &&
          safetensors_at(file, 0)->shape[2] == 3);
    CHECK(safetensors_find(file, "__metadata__") == NULL);
    CHECK(safetensors_find(file, "") == NULL && safetensors_find(file, "f3") == NULL);
    CHECK(safetensors_find(file, "f322") == NULL && safetensors_find(file, "zz") == NULL);
    safetensors_close(file);
}

static void test_empty(void)
{
    struct safetensors *file = open_good("{}", 0);
    CHECK(safetensors_count(file) == 0 && safetensors_find(file, "a") == NULL);
    safetensors_close(file);
    file = open_good("{\"__metadata__\": {}}", 0);
    CHECK(safetensors_count(file) == 0);
    safetensors_close(file);
    safetensors_close(NULL);
}

/* Many tensors, named in one order and lying in another, are all found. */
static void test_many(void)
{
    enum { MANY = 700 };
    static char header[MANY * 80];
    size_t order[MANY], at = 0;
    struct draw draw = {1};
    for (size_t i = 0; i < MANY; i++)
        order[i] = i;
    for (size_t i = MANY; i-- > 1;) {
        const size_t other = draw_below(&draw, i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    for (size_t i = 0; i < MANY; i++)
        at += (size_t)snprintf(header + at, sizeof(header) - at,
                               "%s\"t%zu\":{\"dtype\":\"U8\",\"shape\":[1],"
                               "\"data_offsets\":[%zu,%zu]}",
                               i == 0 ? "{" : ",", i, order[i], order[i] + 1);
    (void)snprintf(header + at, sizeof(header) - at, "}");
    struct safetensors *file = open_good(header, MANY);
    for (size_t i = 0; i < MANY; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "t%zu", i);
        CHECK(safetensors_find(file, name) == safetensors_at(file, order[i]));
        CHECK(strcmp(safetensors_at(file, order[i])->name, name) == 0);
    }
    CHECK(safetensors_find(file, "t700") == NULL);
    safetensors_close(file);
}

/* The length in front of the header. */
static void test_length_lies(void)
{
    static const uint64_t claims[] = {
        3, 1000, 1 << 24, (1 << 24) + 1, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        write_file(claims[i], "{}", 0);
        expect_refusal(ERR_FORMAT, "the header claims", "the file has 2");
    }
    write_file(0, "{}", 0);
    expect_refusal(ERR_FORMAT, "not valid JSON", "");
    write_file(0, "", 0);
    expect_refusal(ERR_FORMAT, "not valid JSON", "");
    write_file(1, "{}", 0);
    expect_refusal(ERR_FORMAT, "not valid JSON", "at byte 1");
    for (size_t n = 0; n < 8; n++) {
        folder_write(folder, "file", "\2\0\0\0\0\0\0\0{}", n);
        expect_refusal(ERR_FORMAT, "expected at least 8", "not a safetensors file");
    }
}

static void test_not_the_json_of_a_header(void)
{
    static const struct {
        const char *header, *part;
    } cases[] = {
        {"not json", "not valid JSON"},
        {"{\"a\": }", "not valid JSON"},
        {"{} {}", "not valid JSON"},
        {"{\"\\u0000\": 1}", "not valid JSON"},
        {"{\"\xFF\": 1}", "not valid JSON"},
        {"[]", "not a JSON object"},
        {"[1, 2]", "not a JSON object"},
        {"{\"a\": 1, \"a\": 2}", "duplicate"},
        {"{\"__metadata__\": {}, \"__metadata__\": {}}", "duplicate"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_bad(cases[i].header, 0, cases[i].part, "header");

    enum { DEEP = 100000 };
    char *deep = malloc(DEEP + 1);
    CHECK(deep != NULL);
    memset(deep, '[', DEEP);
    deep[DEEP] = '\0';
    expect_bad(deep, 0, "not valid JSON", "depth");
    free(deep);
}

#define ENTRY(dtype, shape, offsets)                                                     \
    "{\"a.weight\": {\"dtype\": " dtype ", \"shape\": " shape                            \
    ", \"data_offsets\": " offsets "}}"

/* One tensor, in each way that it can be wrong; the data are 12 bytes. */
static void test_bad_tensor(void)
{
    static const struct {
        const char *header, *part;
    } cases[] = {
        {"{\"a.weight\": 5}", "unknown dtype (none)"},
        {"{\"a.weight\": null}", "unknown dtype (none)"},
        {"{\"a.weight\": {}}", "unknown dtype (none)"},
        {ENTRY("\"F33\"", "[3]", "[0, 12]"), "unknown dtype F33"},
        {ENTRY("\"f32\"", "[3]", "[0, 12]"), "unknown dtype f32"},
        {ENTRY("32", "[3]", "[0, 12]"), "unknown dtype (none)"},
        {ENTRY("\"F32\"", "3", "[0, 12]"), "a list of at most 8 sizes"},
        {ENTRY("\"F32\"", "null", "[0, 12]"), "a list of at most 8 sizes"},
        {ENTRY("\"F32\"", "[1,1,1,1,1,1,1,1,3]", "[0, 12]"), "a list of at most 8 sizes"},
        {ENTRY("\"F32\"", "[-3]", "[0, 12]"), "shape[0] is not a size"},
        {ENTRY("\"F32\"", "[1, 3.0]", "[0, 12]"), "shape[1] is not a size"},
        {ENTRY("\"F32\"", "[3, \"1\"]", "[0, 12]"), "shape[1] is not a size"},
        {ENTRY("\"F32\"", "[[3]]", "[0, 12]"), "shape[0] is not a size"},
        {ENTRY("\"F32\"", "[3]", "[0]"), "data_offsets is not [begin, end]"},
        {ENTRY("\"F32\"", "[3]", "[0, 12, 12]"), "data_offsets is not [begin, end]"},
        {ENTRY("\"F32\"", "[3]", "null"), "data_offsets is not [begin, end]"},
        {ENTRY("\"F32\"", "[3]", "[12, 0]"), "data_offsets is not [begin, end]"},
        {ENTRY("\"F32\"", "[3]", "[-12, 0]"), "data_offsets is not [begin, end]"},
        {ENTRY("\"F32\"", "[3]", "[0, 12.0]"), "data_offsets is not [begin, end]"},
        {ENTRY("\"F32\"", "[4]", "[0, 12]"), "F32 of [4] does not take the 12 bytes"},
        {ENTRY("\"F16\"", "[3]", "[0, 12]"), "F16 of [3] does not take the 12 bytes"},
        {ENTRY("\"I64\"", "[]", "[0, 12]"), "I64 of [] does not take the 12 bytes"},
        {ENTRY("\"F32\"", "[3, 0]", "[0, 12]"), "F32 of [3, 0] does not take"},
        /* Products of 2^64 and more, which would wrap around to 0 and 12 bytes. */
        {ENTRY("\"F32\"", "[4294967296, 4294967296]", "[0, 0]"), "take the 0 bytes"},
        {ENTRY("\"F32\"", "[6148914691236517206, 3]", "[0, 8]"), "take the 8 bytes"},
        {ENTRY("\"F32\"", "[4294967296, 4294967296]", "[0, 12]"), "does not take"},
        {ENTRY("\"F32\"", "[4611686018427387904]", "[0, 0]"),
         "does not take the 0 bytes"},
        {ENTRY("\"F32\"", "[4611686018427387907]", "[0, 12]"), "does not take"},
        {ENTRY("\"U8\"", "[9223372036854775807, 3]", "[0, 12]"), "does not take"},
        /* The offsets themselves. */
        {ENTRY("\"F32\"", "[2]", "[4, 12]"), "begins at byte 4 of the data, expected 0"},
        {ENTRY("\"U8\"", "[9223372036854775807]", "[0, 9223372036854775807]"), ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) - 1; i++)
        expect_bad(cases[i].header, 12, cases[i].part, "tensor a.weight");
    const char *last = cases[sizeof(cases) / sizeof(cases[0]) - 1].header;
    expect_bad(last, 12, "take 9223372036854775807 bytes, the file has 12", "truncated");
    expect_bad(ENTRY("\"F32\"", "[18446744073709551616]", "[0, 12]"), 12,
               "not valid JSON", "");
}

#define TWO(first, second)                                                               \
    "{\"a\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": " first               \
    "}, \"b\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": " second "}}"

static void test_bad_offsets(void)
{
    struct safetensors *file = open_good(TWO("[4, 8]", "[0, 4]"), 8);
    CHECK(strcmp(safetensors_at(file, 0)->name, "b") == 0);
    safetensors_close(file);
    expect_bad(TWO("[0, 4]", "[5, 9]"), 9, "tensor b begins at byte 5", "expected 4");
    expect_bad(TWO("[0, 4]", "[3, 7]"), 7, "tensor b begins at byte 3", "expected 4");
    expect_bad(TWO("[0, 4]", "[0, 4]"), 4, "begins at byte 0", "a gap or an overlap");
    expect_bad(TWO("[1, 5]", "[5, 9]"), 9, "tensor a begins at byte 1", "expected 0");
    expect_bad(TWO("[0, 4]", "[4, 8]"), 7, "take 8 bytes", "the file has 7");
    expect_bad(TWO("[0, 4]", "[4, 8]"), 3, "take 8 bytes", "the file has 3");
    expect_bad(TWO("[0, 4]", "[4, 8]"), 0, "take 8 bytes", "truncated");
    expect_bad(TWO("[0, 4]", "[4, 8]"), 9, "the file has 9", "something appended");
    expect_bad("{}", 1, "take 0 bytes", "the file has 1");
}

/* A name as long as a message does not hide what is wrong. */
static void test_long_name(void)
{
    static const struct {
        const char *rest, *part;
    } cases[] = {
        {"{\"dtype\": \"X\"}", "unknown dtype X"},
        {"{\"dtype\": \"U8\", \"shape\": 1}", "at most 8 sizes"},
        {"{\"dtype\": \"U8\", \"shape\": [true]}", "shape[0] is not a size"},
        {"{\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": 1}", "[begin, end]"},
        {"{\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [0, 2]}", "2 bytes"},
        {"{\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [1, 2]}", "expected 0"},
    };
    char name[1001], header[1200];
    memset(name, 'n', 1000);
    name[1000] = '\0';
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(header, sizeof(header), "{\"%s\": %s}", name, cases[i].rest);
        expect_bad(header, 2, cases[i].part, "tensor nnnn");
    }
}

static void test_not_a_file(void)
{
    struct safetensors *file = NULL;
    struct err err = {0};
    char other[FOLDER_PATH_SIZE];
    CHECK(safetensors_open(&file, folder_path(folder, "none", other), &err) ==
          ERR_NOT_FOUND);
    CHECK(strstr(err.message, other) == err.message);
    CHECK(safetensors_open(&file, folder, &err) == ERR_FORMAT);
    CHECK(strstr(err.message, "not a regular file") != NULL);
    CHECK(mkfifo(folder_path(folder, "fifo", other), 0600) == 0);
    CHECK(safetensors_open(&file, other, &err) == ERR_FORMAT);
    CHECK(file == NULL);
}

/* Whoever cuts an open file gets an error, not old bytes. */
static void test_cut_while_open(void)
{
    struct err err = {0};
    char data[8];
    struct safetensors *file = open_good(TWO("[0, 4]", "[4, 8]"), 8);
    CHECK(truncate(path, (off_t)safetensors_file_size(file) - 2) == 0);
    CHECK_OK(safetensors_read(file, safetensors_at(file, 0), data, &err), err);
    CHECK(safetensors_read(file, safetensors_at(file, 1), data, &err) == ERR_IO);
    CHECK(strstr(err.message, "tensor b") != NULL);
    CHECK(strstr(err.message, "expected 2 more") != NULL);
    safetensors_close(file);
}

static void test_shape_text(void)
{
    char text[SAFETENSORS_SHAPE_TEXT_SIZE];
    const size_t shape[SAFETENSORS_MAX_RANK] = {2,        3,        SIZE_MAX, SIZE_MAX,
                                                SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    safetensors_shape_text(shape, 0, text);
    CHECK(strcmp(text, "[]") == 0);
    safetensors_shape_text(shape, 2, text);
    CHECK(strcmp(text, "[2, 3]") == 0);
    for (size_t rank = 3; rank <= SAFETENSORS_MAX_RANK; rank++) {
        safetensors_shape_text(shape, rank, text);
        CHECK(strncmp(text, "[2, 3, 18446744073709551615", 27) == 0);
        CHECK(text[strlen(text) - 1] == ']');
    }
}

int main(void)
{
    folder_create(folder);
    (void)folder_path(folder, "file", path);
    test_types();
    test_empty();
    test_many();
    test_length_lies();
    test_not_the_json_of_a_header();
    test_bad_tensor();
    test_bad_offsets();
    test_long_name();
    test_not_a_file();
    test_cut_while_open();
    test_shape_text();
    folder_remove(folder);
    return 0;
}
