#include "tests/load/response.h"

#include "base/size.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

void response_begin(struct response *response)
{
    response->head_length = 0;
    response->has_head = response->has_length = response->closes = false;
    response->status = 0;
    response->length = response->received = 0;
    response->retry_after = -1;
    response->steps = 0;
    digest_init(&response->digest);
}

static bool read_field(struct response *response, const char *name, const char *value)
{
    uint64_t number = 0;
    const bool is_number = text_to_unsigned(value, 0, UINT32_MAX, &number);
    if (text_equal_ignoring_case(name, "Content-Length")) {
        response->length = number;
        response->has_length = true;
        return is_number;
    }
    if (text_equal_ignoring_case(name, "Transfer-Encoding"))
        return false; /* the service never answers so */
    if (text_equal_ignoring_case(name, "Connection"))
        response->closes = text_equal_ignoring_case(value, "close");
    else if (text_equal_ignoring_case(name, "Retry-After") && is_number)
        response->retry_after = (int64_t)number;
    else if (text_equal_ignoring_case(name, "Sluice-Steps") && is_number)
        response->steps = (uint32_t)number;
    return true;
}

/* The head's lines; each end is overwritten by a NUL. */
static bool read_head(struct response *response)
{
    char *line = response->head, *end = strstr(line, "\r\n");
    if (strncmp(line, "HTTP/1.1 ", 9) != 0 || end == NULL)
        return false;
    response->status = atoi(line + 9);
    for (line = end + 2; strncmp(line, "\r\n", 2) != 0; line = end + 2) {
        char *colon = strchr(line, ':');
        end = strstr(line, "\r\n");
        if (end == NULL || colon == NULL || colon > end)
            return false;
        *colon = *end = '\0';
        if (!read_field(response, line, colon + 1 + strspn(colon + 1, " ")))
            return false;
    }
    return response->status >= 200 && response->status < 600;
}

static enum response_state
add_body(struct response *response, const char *data, size_t length)
{
    digest_add(&response->digest, data, length);
    response->received += length;
    if (!response->has_length || response->received < response->length)
        return RESPONSE_MORE;
    return response->received == response->length ? RESPONSE_DONE : RESPONSE_MALFORMED;
}

enum response_state
response_add(struct response *response, const char *data, size_t length)
{
    if (response->has_head)
        return add_body(response, data, length);
    const size_t before = response->head_length,
                 taken = size_min(length, RESPONSE_HEAD_MAX - before);
    memcpy(response->head + before, data, taken);
    response->head_length += taken;
    response->head[response->head_length] = '\0';
    const char *blank = strstr(response->head, "\r\n\r\n");
    if (blank == NULL)
        return response->head_length == RESPONSE_HEAD_MAX ? RESPONSE_MALFORMED
                                                          : RESPONSE_MORE;
    const size_t head = (size_t)(blank - response->head) + 4;
    response->has_head = true;
    if (!read_head(response))
        return RESPONSE_MALFORMED;
    return add_body(response, data + (head - before), length - (head - before));
}

enum response_state response_end(const struct response *response)
{
    return response->has_head && !response->has_length ? RESPONSE_DONE
                                                       : RESPONSE_MALFORMED;
}
