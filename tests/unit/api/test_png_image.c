#include "api/png_image.h"
#include "tests/check.h"

#include <png.h>

#include <string.h>

/* Colours that no filter predicts, so that each one is used. */
static uint8_t *draw(size_t width, size_t height)
{
    uint8_t *rgb = malloc(width * height * 3);
    CHECK(rgb != NULL);
    for (size_t i = 0; i < width * height * 3; i++)
        rgb[i] = (uint8_t)(i / 3 < width * height / 2 ? 200 + i % 3 : (i * i * 31) >> 3);
    return rgb;
}

static struct buf
encode(const uint8_t *rgb, size_t width, size_t height, const char *text)
{
    struct buf out;
    struct err err;
    buf_init(&out, 1 << 20);
    CHECK_OK(png_image_encode(&out, rgb, width, height, text, &err), err);
    return out;
}

static void
check_pixels(const struct buf *file, const uint8_t *rgb, size_t width, size_t height)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    CHECK(png_image_begin_read_from_memory(&image, file->data, file->length));
    CHECK(image.width == width && image.height == height);
    CHECK(image.format == PNG_FORMAT_RGB);
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(image));
    CHECK(pixels != NULL && PNG_IMAGE_SIZE(image) == width * height * 3);
    CHECK(png_image_finish_read(&image, NULL, pixels, 0, NULL));
    CHECK(memcmp(pixels, rgb, PNG_IMAGE_SIZE(image)) == 0);
    free(pixels);
}

struct reading {
    const struct buf *file;
    size_t at;
};

static void read_bytes(png_structp png, png_bytep data, size_t length)
{
    struct reading *reading = png_get_io_ptr(png);
    CHECK(length <= reading->file->length - reading->at);
    memcpy(data, reading->file->data + reading->at, length);
    reading->at += length;
}

/* The chunks as libpng reads them back: one text (or none), no time, nothing after the
 * end. NULL text: no text chunk. */
static void check_chunks(const struct buf *file, const char *text, int compression)
{
    struct reading reading = {.file = file};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    CHECK(png != NULL && info != NULL);
    png_set_read_fn(png, &reading, read_bytes);
    png_read_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    CHECK(reading.at == file->length);
    CHECK(png_get_valid(png, info, PNG_INFO_tIME) == 0);
    png_textp texts = NULL;
    int count = png_get_text(png, info, &texts, NULL);
    CHECK(count == (text != NULL ? 1 : 0));
    if (text != NULL) {
        CHECK(strcmp(texts[0].key, "parameters") == 0);
        CHECK(texts[0].compression == compression);
        CHECK(strcmp(texts[0].text, text) == 0);
    }
    png_destroy_read_struct(&png, &info, NULL);
}

static void test_round_trip(void)
{
    static const size_t sizes[][2] = {{1, 1}, {1, 300}, {300, 1}, {16, 48}, {128, 128}};
    static const struct {
        const char *text;
        int compression;
    } texts[] = {
        {NULL, 0},
        {"", PNG_TEXT_COMPRESSION_NONE},
        {"a cat\nSteps: 4, Seed: 7", PNG_TEXT_COMPRESSION_NONE},
        {"caf\xc3\xa9 \xf0\x9f\x98\x80\nSteps: 4", PNG_ITXT_COMPRESSION_NONE},
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *rgb = draw(sizes[i][0], sizes[i][1]);
        for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
            struct buf file = encode(rgb, sizes[i][0], sizes[i][1], texts[k].text);
            check_pixels(&file, rgb, sizes[i][0], sizes[i][1]);
            check_chunks(&file, texts[k].text, texts[k].compression);
            struct buf again = encode(rgb, sizes[i][0], sizes[i][1], texts[k].text);
            CHECK(again.length == file.length);
            CHECK(memcmp(again.data, file.data, file.length) == 0);
            buf_finish(&file);
            buf_finish(&again);
        }
        free(rgb);
    }
}

/* Every limit below the file's size is an error and leaks nothing. */
static void test_no_room(void)
{
    uint8_t *rgb = draw(16, 16);
    struct buf file = encode(rgb, 16, 16, "caf\xc3\xa9");
    for (size_t limit = 0; limit <= file.length; limit++) {
        struct buf out;
        struct err err = {0};
        buf_init(&out, limit);
        enum err_code code = png_image_encode(&out, rgb, 16, 16, "caf\xc3\xa9", &err);
        CHECK(code == (limit < file.length ? ERR_NO_MEMORY : ERR_OK));
        CHECK(err.code == code);
        buf_finish(&out);
    }
    struct buf out;
    buf_init(&out, 3);
    CHECK(png_image_encode(&out, rgb, 16, 16, NULL, NULL) == ERR_NO_MEMORY);
    buf_finish(&out);
    buf_finish(&file);
    free(rgb);
}

static void test_bad_arguments(void)
{
    static const uint8_t rgb[3] = {1, 2, 3};
    static const struct {
        size_t width, height;
        const char *text;
        enum err_code code;
    } rows[] = {
        {0, 1, NULL, ERR_INVALID},        {1, 0, NULL, ERR_INVALID},
        {SIZE_MAX, 1, NULL, ERR_INVALID}, {1, (size_t)1 << 32, NULL, ERR_INVALID},
        {1, 1, "\xff", ERR_INVALID},      {1, 1, "a\xc3", ERR_INVALID},
        {2000000, 1, NULL, ERR_INTERNAL}, /* past libpng's own limit */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out;
        struct err err;
        buf_init(&out, 1 << 20);
        CHECK(png_image_encode(&out, rgb, rows[i].width, rows[i].height, rows[i].text,
                               &err) == rows[i].code);
        CHECK(err.code == rows[i].code && strncmp(err.message, "PNG: ", 5) == 0);
        CHECK(out.length == 0);
        buf_finish(&out);
    }
}

int main(void)
{
    test_round_trip();
    test_no_room();
    test_bad_arguments();
    return 0;
}
