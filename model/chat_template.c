#include "model/chat_template.h"

#include "base/size.h"
#include "base/text.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_LIMIT = 1024 * 1024 }; /* bytes; Qwen3's has 4,200 */

static const char head[] = "<|im_start|>user\n";
static const char tail[] = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";

const char *chat_template_token(size_t i)
{
    static const char *const tokens[] = {"<|im_start|>", "<|im_end|>", "<think>",
                                         "</think>"};
    return i < sizeof(tokens) / sizeof(tokens[0]) ? tokens[i] : NULL;
}

void chat_template_apply(struct buf *out, const char *prompt, size_t length)
{
    buf_init(out, size_add(length, sizeof(head) + sizeof(tail)));
    (void)buf_append(out, head, sizeof(head) - 1);
    (void)buf_append(out, prompt, length);
    (void)buf_append(out, tail, sizeof(tail) - 1);
}

/* The end of `part` where `source` begins with it, else NULL. A line break is written as
 * such outside Jinja's strings and as \n inside. */
static const char *behind(const char *source, const char *part)
{
    for (; *part != '\0'; part++) {
        if (*part == '\n' && strncmp(source, "\\n", 2) == 0)
            source += 2;
        else if (*source == *part)
            source++;
        else
            return NULL;
    }
    return source;
}

/* What follows the next `part` at or after `source`, NULL when there is none. */
static const char *behind_next(const char *source, const char *part)
{
    for (; *source != '\0'; source++) {
        const char *end = behind(source, part);
        if (end != NULL)
            return end;
    }
    return NULL;
}

/* Other models' templates speak for the system when the request does not: their text
 * stands in the same Jinja string, before its quotation mark. */
static bool has_system_text(const char *source)
{
    while ((source = behind_next(source, "<|im_start|>system\n")) != NULL) {
        if (*source != '\'' && *source != '"')
            return true;
    }
    return false;
}

enum err_code chat_template_check(const char *source, struct err *err)
{
    static const struct {
        const char *text, *name;
    } parts[] = {
        {"<|im_start|>", "<|im_start|>"},
        {"<|im_end|>\n", "<|im_end|>\\n"},
        {"enable_thinking", "enable_thinking"},
        {"<think>\n\n</think>\n\n", "<think>\\n\\n</think>\\n\\n"},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (behind_next(source, parts[i].text) == NULL)
            return err_set(err, ERR_UNSUPPORTED,
                           "the chat template lacks '%s': only Qwen3's is implemented",
                           parts[i].name);
    }
    if (has_system_text(source))
        return err_set(err, ERR_UNSUPPORTED,
                       "the chat template adds a text of its own after "
                       "'<|im_start|>system': only Qwen3's, without one, is implemented");
    return ERR_OK;
}

enum err_code chat_template_check_file(const char *folder, struct err *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/chat_template.jinja", folder);
    if (n < 0 || (size_t)n >= sizeof(path))
        return err_set(err, ERR_INVALID, "%.64s...: the path is too long", folder);
    char *source = NULL;
    size_t length = 0;
    enum err_code code = text_read_file(&source, &length, path, SOURCE_LIMIT, err);
    if (code != ERR_OK)
        return code;
    code = chat_template_check(source, err);
    free(source);
    return code == ERR_OK ? ERR_OK : err_prefix(err, code, "%s", path);
}
