/* Which templates are taken for klein's. */
#include "model/chat_template.h"
#include "tests/check.h"
#include "tests/lib/folder.h"

#include <string.h>

/* The parts that count, in the notations that files have: Qwen3's own with \n inside
 * Jinja's strings, others with line breaks in the text. */
#define MESSAGE "{{- '<|im_start|>' + message.role + '\\n' + message.content "
#define END     "+ '<|im_end|>\\n' }}"
#define NO_THOUGHTS                                                                      \
    "{%- if enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
#define SYSTEM "{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}"

static const struct {
    const char *source, *message; /* NULL: accepted */
} cases[] = {
    {MESSAGE END NO_THOUGHTS, NULL},
    {SYSTEM MESSAGE END NO_THOUGHTS, NULL},
    {"<|im_start|>{{ role }}\n{{ text }}<|im_end|>\n{% if not enable_thinking "
     "%}<think>\n\n"
     "</think>\n\n{% endif %}",
     NULL},
    {"", "lacks '<|im_start|>'"},
    {MESSAGE NO_THOUGHTS, "lacks '<|im_end|>\\n'"},
    {MESSAGE "+ '<|im_end|>' }}" NO_THOUGHTS, "lacks '<|im_end|>\\n'"},
    {MESSAGE END, "lacks 'enable_thinking'"},
    {MESSAGE END "{{ enable_thinking }}<think>\\n</think>\\n\\n",
     "lacks '<think>\\n\\n</think>\\n\\n'"},
    {"{{- '<|im_start|>system\\nYou are a painter.<|im_end|>\\n' }}" MESSAGE END
         NO_THOUGHTS,
     "adds a text of its own"},
    {SYSTEM "<|im_start|>system\nPaint." MESSAGE END NO_THOUGHTS,
     "adds a text of its own"},
};

static void check(enum err_code code, const struct err *err, size_t i)
{
    if (cases[i].message == NULL) {
        CHECK_OK(code, *err);
        return;
    }
    if (code != ERR_UNSUPPORTED || strstr(err->message, cases[i].message) == NULL)
        (void)fprintf(stderr, "case %zu: '%s'\n", i, err->message);
    CHECK(code == ERR_UNSUPPORTED && err->code == code);
    CHECK(strstr(err->message, cases[i].message) != NULL);
}

static void check_cases(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        check(chat_template_check(cases[i].source, &err), &err, i);
    }
}

static void check_files(void)
{
    static const char name[] = "chat_template.jinja";
    char folder[FOLDER_PATH_SIZE];
    struct err err = {0};
    folder_create(folder);
    CHECK(chat_template_check_file(folder, &err) == ERR_NOT_FOUND);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        folder_write_text(folder, name, cases[i].source);
        enum err_code code = chat_template_check_file(folder, &err);
        check(code, &err, i);
        CHECK(code == ERR_OK || strstr(err.message, name) != NULL);
    }
    folder_remove(folder);
}

int main(void)
{
    check_cases();
    check_files();
    return 0;
}
