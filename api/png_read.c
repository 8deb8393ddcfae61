#include "api/png_read.h"

#include "base/size.h"
#include "base/text.h"

#include <png.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* More than two prompts of 2,000 characters of 4 bytes each take. */
enum { MAX_CHUNK_BYTES = 256 * 1024, MAX_CHUNKS = 64, SIGNATURE_BYTES = 8 };

/* The file, and what the callbacks work on. */
struct reading {
    const unsigned char *data;
    size_t length, at;
    size_t max_pixels;
    struct png_contents contents;
    struct err *err;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct reading *reading = png_get_error_ptr(png);
    (void)err_set(reading->err, ERR_FORMAT, "PNG: %s", message);
    png_longjmp(png, (int)ERR_FORMAT);
}

/* libpng would print it. */
static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_bytes(png_structp png, png_bytep out, size_t length)
{
    struct reading *reading = png_get_io_ptr(png);
    if (length > reading->length - reading->at)
        png_error(png, "the file ends too early");
    memcpy(out, reading->data + reading->at, length);
    reading->at += length;
}

static void fail(png_structp png, enum err_code code, const char *message)
{
    struct reading *reading = png_get_error_ptr(png);
    (void)err_set(reading->err, code, "PNG: %s", message);
    png_longjmp(png, (int)code);
}

/* The header says how large all that follows may become. */
static void read_header(png_structp png, png_infop info, struct reading *reading)
{
    struct png_contents *contents = &reading->contents;
    png_read_info(png, info);
    contents->width = png_get_image_width(png, info);
    contents->height = png_get_image_height(png, info);
    if (size_multiply(contents->width, contents->height) > reading->max_pixels)
        fail(png, ERR_INVALID, "the image has more pixels than the service draws");
    if (png_get_bit_depth(png, info) != 8 ||
        png_get_color_type(png, info) != PNG_COLOR_TYPE_RGB ||
        png_get_interlace_type(png, info) != PNG_INTERLACE_NONE)
        fail(png, ERR_FORMAT, "expected 8-bit RGB that is not interlaced");
}

static void read_pixels(png_structp png, png_infop info, struct reading *reading)
{
    struct png_contents *contents = &reading->contents;
    size_t row = contents->width * 3, bytes = size_multiply(row, contents->height);
    if (bytes > 0 && bytes <= PTRDIFF_MAX)
        contents->rgb = malloc(bytes);
    if (contents->rgb == NULL)
        fail(png, ERR_NO_MEMORY, "no memory for the pixels");
    for (size_t y = 0; y < contents->height; y++)
        png_read_row(png, contents->rgb + y * row, NULL);
    png_read_end(png, info);
}

/* tEXt is Latin-1, but ours holds ASCII only, which is UTF-8. */
static void read_parameters(png_structp png, png_infop info, struct reading *reading)
{
    png_textp texts = NULL;
    int count = png_get_text(png, info, &texts, NULL);
    for (int i = 0; i < count && reading->contents.parameters == NULL; i++) {
        if (strcmp(texts[i].key, "parameters") != 0)
            continue;
        const char *text = texts[i].text;
        if (!text_is_utf8(text, strlen(text), NULL))
            fail(png, ERR_FORMAT, "the parameters are not UTF-8");
        reading->contents.parameters = malloc(strlen(text) + 1);
        if (reading->contents.parameters == NULL)
            fail(png, ERR_NO_MEMORY, "no memory for the parameters");
        memcpy(reading->contents.parameters, text, strlen(text) + 1);
    }
}

/* Errors come back here. What changes after setjmp is in *reading, so nothing is lost. */
static enum err_code try_to_read(png_structp png, png_infop info, struct reading *reading)
{
    switch (setjmp(png_jmpbuf(png))) {
    case 0:
        read_header(png, info, reading);
        read_pixels(png, info, reading);
        read_parameters(png, info, reading);
        return ERR_OK;
    case ERR_INVALID:
        return ERR_INVALID;
    case ERR_NO_MEMORY:
        return ERR_NO_MEMORY;
    default:
        return ERR_FORMAT;
    }
}

enum err_code png_read(struct png_contents *out,
                       const void *data,
                       size_t length,
                       size_t max_pixels,
                       struct err *err)
{
    if (length < SIGNATURE_BYTES || png_sig_cmp(data, 0, SIGNATURE_BYTES) != 0)
        return err_set(err, ERR_FORMAT, "PNG: expected a PNG file, found other bytes");

    struct reading reading = {
        .data = data, .length = length, .max_pixels = max_pixels, .err = err};
    png_structp png =
        png_create_read_struct(PNG_LIBPNG_VER_STRING, &reading, on_error, on_warning);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    enum err_code code;
    if (info == NULL) {
        code = err_set(err, ERR_NO_MEMORY, "PNG: no memory for libpng's state");
    } else {
        png_uint_32 side = (png_uint_32)size_min(max_pixels, PNG_UINT_31_MAX);
        png_set_user_limits(png, side, side);
        png_set_chunk_malloc_max(png, MAX_CHUNK_BYTES);
        png_set_chunk_cache_max(png, MAX_CHUNKS);
        png_set_benign_errors(png, 0); /* ours have none, and too large a chunk is one */
        png_set_read_fn(png, &reading, on_bytes);
        code = try_to_read(png, info, &reading);
    }
    png_destroy_read_struct(&png, &info, NULL);
    if (code == ERR_OK)
        *out = reading.contents;
    else
        png_read_finish(&reading.contents);
    return code;
}

void png_read_finish(struct png_contents *contents)
{
    if (contents == NULL)
        return;
    free(contents->rgb);
    free(contents->parameters);
    *contents = (struct png_contents){0};
}
