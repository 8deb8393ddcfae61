#include "api/png_image.h"
#include "api/png_read.h"
#include "tests/check.h"

#include <png.h>

#include <string.h>

enum { WIDTH = 40, HEIGHT = 24, PIXELS = WIDTH * HEIGHT };

static uint8_t rgb[PIXELS * 3];

static struct buf encode(const char *text)
{
    struct buf out;
    struct err err;
    buf_init(&out, 1 << 20);
    CHECK_OK(png_image_encode(&out, rgb, WIDTH, HEIGHT, text, &err), err);
    return out;
}

static void check_read(const char *text)
{
    struct buf file = encode(text);
    struct png_contents contents;
    struct err err;
    CHECK_OK(png_read(&contents, file.data, file.length, PIXELS, &err), err);
    CHECK(contents.width == WIDTH && contents.height == HEIGHT);
    CHECK(memcmp(contents.rgb, rgb, sizeof(rgb)) == 0);
    if (text == NULL)
        CHECK(contents.parameters == NULL);
    else
        CHECK(strcmp(contents.parameters, text) == 0);
    png_read_finish(&contents);
    png_read_finish(&contents);
    png_read_finish(NULL);
    buf_finish(&file);
}

static void check_refused(const struct buf *file,
                          size_t max_pixels,
                          enum err_code code,
                          const char *message)
{
    struct png_contents contents = {.width = 77};
    struct err err = {0};
    enum err_code found = png_read(&contents, file->data, file->length, max_pixels, &err);
    if (found != code || strstr(err.message, message) == NULL)
        (void)fprintf(stderr, "%d: %s\n", (int)found, err.message);
    CHECK(found == code && strstr(err.message, message) != NULL);
    CHECK(contents.width == 77);
}

static void test_bounds(void)
{
    struct buf file = encode("a");
    check_refused(&file, PIXELS - 1, ERR_INVALID, "more pixels");
    check_refused(&file, 1, ERR_FORMAT, "PNG: ");
    buf_finish(&file);

    static char text[300 * 1024];
    memset(text, 'a', sizeof(text) - 1);
    file = encode(text);
    check_refused(&file, PIXELS, ERR_FORMAT, "too large");
    buf_finish(&file);
}

/* Cut anywhere, or with any byte changed, a file is refused or read, but never more. */
static void test_broken(void)
{
    struct buf file = encode("a cat\nSteps: 4");
    struct png_contents contents;
    for (size_t length = 0; length < file.length; length++) {
        struct buf cut = file;
        cut.length = length;
        check_refused(&cut, PIXELS, ERR_FORMAT, "PNG: ");
    }
    for (size_t i = 0; i < file.length; i++) {
        file.data[i] = (char)(file.data[i] ^ 0x41);
        if (png_read(&contents, file.data, file.length, PIXELS, NULL) == ERR_OK)
            png_read_finish(&contents);
        file.data[i] = (char)(file.data[i] ^ 0x41);
    }
    buf_finish(&file);
}

static void collect(png_structp png, png_bytep data, size_t length)
{
    (void)buf_append(png_get_io_ptr(png), data, length);
}

/* A PNG of another kind than ours. */
static void check_kind(int depth, int color, int interlace)
{
    static uint8_t row[WIDTH * 8];
    struct buf file;
    buf_init(&file, 1 << 20);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    CHECK(setjmp(png_jmpbuf(png)) == 0);
    png_set_write_fn(png, &file, collect, NULL);
    png_set_IHDR(png, info, WIDTH, HEIGHT, depth, color, interlace, 0, 0);
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    for (int i = 0; i < passes * HEIGHT; i++)
        png_write_row(png, row);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    check_refused(&file, PIXELS, ERR_FORMAT, "expected 8-bit RGB");
    buf_finish(&file);
}

int main(void)
{
    for (size_t i = 0; i < sizeof(rgb); i++)
        rgb[i] = (uint8_t)((i * i) >> 3);
    check_read(NULL);
    check_read("");
    check_read("a cat\nSteps: 4");
    check_read("a \xe2\x98\x83");
    test_bounds();
    test_broken();
    check_kind(8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE);
    check_kind(8, PNG_COLOR_TYPE_RGBA, PNG_INTERLACE_NONE);
    check_kind(16, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE);
    check_kind(8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7);
    return 0;
}
