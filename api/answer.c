#include "api/answer.h"

#include "api/sampler_name.h"
#include "base/clock.h"
#include "base/text.h"

#include <jansson.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 97, HASH_DIGITS = 10 };

/* A name comes from a file. In a header (RFC 9110, section 5.5) everything that is not
 * printable ASCII, and what separates or quotes there, becomes '_'. */
static void to_plain(char out[NAME_SIZE], const char *text)
{
    size_t n = 0;
    for (; n < NAME_SIZE - 1 && text[n] != '\0'; n++) {
        bool is_plain =
            text[n] >= ' ' && text[n] <= '~' && strchr("\",;\\", text[n]) == NULL;
        out[n] = '_';
        if (is_plain)
            out[n] = text[n];
    }
    out[n] = '\0';
}

static void
set_header(struct answer_header *header, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
set_header(struct answer_header *header, const char *name, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    header->name = name;
    (void)vsnprintf(header->value, sizeof(header->value), format, ap);
    va_end(ap);
}

size_t answer_headers(const struct answer_facts *facts,
                      const struct request *request,
                      const char *model_name,
                      const char *model_digest,
                      struct answer_header headers[ANSWER_HEADERS_MAX])
{
    char name[NAME_SIZE];
    to_plain(name, model_name);

    size_t n = 0;
    set_header(&headers[n++], "Sluice-Seed", "%lu",
               (unsigned long)request->sampling.seed);
    set_header(&headers[n++], "Sluice-Steps", "%u", facts->steps);
    set_header(&headers[n++], "Sluice-Evaluations", "%u", facts->evaluations);
    set_header(&headers[n++], "Sluice-Model", "%s; digest=%.64s", name, model_digest);
    if (facts->prompt_tokens_total > facts->prompt_tokens)
        set_header(&headers[n++], "Sluice-Prompt-Tokens", "%zu/%zu; cut=%zu",
                   facts->prompt_tokens, facts->prompt_tokens_limit,
                   facts->prompt_tokens_total);
    else
        set_header(&headers[n++], "Sluice-Prompt-Tokens", "%zu/%zu", facts->prompt_tokens,
                   facts->prompt_tokens_limit);
    set_header(&headers[n++], "Server-Timing",
               "queue;dur=%.1f, encode;dur=%.1f, steps;dur=%.1f, decode;dur=%.1f",
               clock_milliseconds(facts->queue), clock_milliseconds(facts->encode),
               clock_milliseconds(facts->stepping), clock_milliseconds(facts->decode));
    return n;
}

static int append(const char *data, size_t length, void *buf)
{
    return buf_append(buf, data, length) ? 0 : -1;
}

/* A value as modules/infotext_utils.py, quote, writes it: as a JSON string when it holds
 * what separates values. A name that is not UTF-8 (a folder's may be anything) is made
 * plain, as the text chunk holds nothing but UTF-8. */
static void append_value(struct buf *out, const char *value)
{
    char plain[NAME_SIZE];
    if (!text_is_utf8(value, strlen(value), NULL)) {
        to_plain(plain, value);
        value = plain;
    }
    if (strpbrk(value, ",:\n") == NULL) {
        (void)buf_append(out, value, strlen(value));
        return;
    }
    json_t *string = json_string(value);
    if (string == NULL || json_dump_callback(string, append, out, JSON_ENCODE_ANY) != 0)
        out->failed = true;
    json_decref(string);
}

void answer_parameters_text(const struct request *request,
                            const char *model_name,
                            const char *model_digest,
                            const char *version,
                            struct buf *out)
{
    const struct sampling *sampling = &request->sampling;
    char guidance[TEXT_NUMBER_SIZE];
    text_from_double(guidance, sampling->guidance);
    if (request->prompt_bytes > 0)
        (void)buf_print(out, "%s\n", request->prompt);
    if (request->negative_prompt_bytes > 0)
        (void)buf_print(out, "Negative prompt: %s\n", request->negative_prompt);
    (void)buf_print(out,
                    "Steps: %u, Sampler: %s, CFG scale: %s, Seed: %lu, Size: %zux%zu, "
                    "Model hash: %.*s, Model: ",
                    sampling->steps, sampler_name(sampling->solver), guidance,
                    (unsigned long)sampling->seed, sampling->width, sampling->height,
                    HASH_DIGITS, model_digest);
    append_value(out, model_name);
    (void)buf_print(out, ", Version: sluice %s", version);
}
