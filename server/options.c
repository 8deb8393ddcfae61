#include "server/options.h"

#include "base/size.h"
#include "base/text.h"
#include "server/option_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The command line as texts; NULL where an option was not given. */
struct parsing {
    const struct command_row *command;
    const char *given[OPTION_COUNT];
    bool wants_help;
    FILE *warnings;
    struct err *err;
};

static bool to_bytes(const char *text, uint64_t *out)
{
    static const char suffixes[] = "KkMmGg";
    char digits[24];
    size_t length = strlen(text);
    const char *suffix = length > 0 ? strchr(suffixes, text[length - 1]) : NULL;
    unsigned shift = suffix != NULL ? 10 * (unsigned)((suffix - suffixes) / 2 + 1) : 0;
    length -= suffix != NULL;
    if (length >= sizeof(digits))
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    bool fits = text_to_unsigned(digits, 0, UINT64_MAX >> shift, out);
    *out = fits ? *out << shift : 0;
    return fits;
}

static bool to_number(const char *text, uint64_t low, uint64_t high, double *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') /* strtod would skip blanks and know "nan" */
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && *out >= (double)low && *out <= (double)high;
}

static bool to_bool(const char *text, bool *out)
{
    static const char *const words[] = {"off", "on", "false", "true",
                                        "0",   "1",  "no",    "yes"};
    size_t i = 0, n = sizeof(words) / sizeof(words[0]);
    while (i < n && !text_equal_ignoring_case(text, words[i]))
        i++;
    *out = i % 2 == 1; /* each no stands before its yes */
    return i < n;
}

/* Puts the value of `text` into its place; false when it is none of the option's. */
static bool store(struct options *out, const struct option *option, const char *text)
{
    union {
        const char *text;
        uint64_t count;
        double number;
        bool flag;
    } value = {.text = text};
    size_t size = sizeof(value.text);
    bool fits = true;
    switch (option->kind) {
    case KIND_TEXT:
        break;
    case KIND_COUNT:
        size = sizeof(value.count);
        fits = text_to_unsigned(text, option->low, option->high, &value.count);
        break;
    case KIND_BYTES:
        size = sizeof(value.count);
        fits = to_bytes(text, &value.count);
        break;
    case KIND_NUMBER:
        size = sizeof(value.number);
        fits = to_number(text, option->low, option->high, &value.number);
        break;
    case KIND_BOOL:
    case KIND_NOT:
        size = sizeof(value.flag);
        fits = to_bool(text, &value.flag);
        value.flag = fits && value.flag != (option->kind == KIND_NOT);
        break;
    }
    if (fits)
        memcpy((char *)out + option->offset, &value, size);
    return fits;
}

static enum err_code refuse(const struct option *option,
                            const char *source,
                            const char *found,
                            struct err *err)
{
    if (option->kind == KIND_COUNT || option->kind == KIND_NUMBER)
        return err_set(err, ERR_INVALID,
                       "%s: expected %s from %" PRIu64 " to %" PRIu64 ", found \"%.80s\"",
                       source, option->kind == KIND_COUNT ? "an integer" : "a number",
                       option->low, option->high, found);
    return err_set(err, ERR_INVALID, "%s: expected %s, found \"%.80s\"", source,
                   option->kind == KIND_BYTES ? "bytes, such as 64M" : "on or off",
                   found);
}

/* How many letters two words differ in, between the beginning and the end that they
 * share: at most two after one slip of the fingers. */
static size_t difference(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t least = size_min(a_length, b_length), same = 0, ends = 0;
    while (same < least && a[same] == b[same])
        same++;
    while (same + ends < least && a[a_length - 1 - ends] == b[b_length - 1 - ends])
        ends++;
    return size_max(a_length, b_length) - same - ends;
}

/* The command's option that was meant: by a slip, or by a piece of its flag; or NULL. */
static const struct option *
nearest_option(const struct command_row *command, const char *name, size_t n)
{
    enum { SLIP = 2, PIECE = 4 };
    const struct option *nearest = NULL;
    char piece[FLAG_MAX + 1];
    (void)snprintf(piece, sizeof(piece), "%.*s", (int)size_min(n, FLAG_MAX), name);
    for (size_t i = 0, least = SLIP + 1; i < OPTION_COUNT; i++) {
        const char *flag = option_table[i].flag;
        size_t errors = difference(name, n, flag, strlen(flag));
        if (n >= PIECE && strstr(flag, piece) != NULL)
            errors = size_min(errors, SLIP);
        if ((option_table[i].commands & command->command) != 0 && errors < least) {
            least = errors;
            nearest = &option_table[i];
        }
    }
    return nearest;
}

static enum err_code unknown_option(const struct parsing *parsing, const char *argument)
{
    const char *name = argument + strspn(argument, "-");
    const struct option *nearest =
        nearest_option(parsing->command, name, strcspn(name, "="));
    return err_set(parsing->err, ERR_INVALID,
                   "%s has no option %.80s%s%s; sluice %s --help lists them",
                   parsing->command->name, argument,
                   nearest != NULL ? "; the nearest is --" : "",
                   nearest != NULL ? nearest->flag : "", parsing->command->name);
}

/* The table's index of "--flag", "--flag=value" or "-letter"; OPTION_COUNT if none. */
static size_t find_option(const char *argument)
{
    bool is_long = argument[1] == '-';
    const char *name = argument + 1 + is_long;
    size_t n = strcspn(name, "=");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *flag = option_table[i].flag;
        if (is_long ? strlen(flag) == n && strncmp(flag, name, n) == 0
                    : n == 1 && option_table[i].letter == name[0])
            return i;
    }
    return OPTION_COUNT;
}

/* A word that is no option: the folder to inspect. */
static enum err_code read_word(struct parsing *parsing, const char *word)
{
    size_t model = find_option("--model");
    if (parsing->command->command != COMMAND_INSPECT || parsing->given[model] != NULL)
        return err_set(parsing->err, ERR_INVALID, "%s: unexpected argument \"%.80s\"",
                       parsing->command->name, word);
    parsing->given[model] = word;
    return ERR_OK;
}

/* Reads argv[*at] and, where it is the option's value, the argument behind it. */
static enum err_code
read_argument(struct parsing *parsing, int argc, char *const *argv, int *at)
{
    const char *argument = argv[*at];
    if (argument[0] != '-' || argument[1] == '\0')
        return read_word(parsing, argument);
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
        parsing->wants_help = true;
        return ERR_OK;
    }
    size_t i = find_option(argument);
    if (i == OPTION_COUNT || (option_table[i].commands & parsing->command->command) == 0)
        return unknown_option(parsing, argument);

    const char *equals = strchr(argument, '=');
    if (equals != NULL)
        parsing->given[i] = equals + 1;
    else if (option_table[i].value == NULL)
        parsing->given[i] = "on";
    else if (*at + 1 < argc && strncmp(argv[*at + 1], "--", 2) != 0)
        parsing->given[i] = argv[++*at];
    else
        return err_set(parsing->err, ERR_INVALID,
                       "%s needs a value; one that begins with -- is written --%s=%s",
                       argument, option_table[i].flag, option_table[i].value);
    return ERR_OK;
}

/* The environment's value of an option; NULL when it is absent or empty. */
static const char *from_environment(const struct parsing *parsing, const char *variable)
{
    const char *value = getenv(variable);
    if (value == NULL || value[0] == '\0')
        return NULL;
    if (strncmp(value, "tcp://", 6) != 0)
        return value;
    (void)fprintf(parsing->warnings,
                  "%s=%.80s is ignored: Kubernetes sets it for a Service named sluice\n",
                  variable, value);
    return NULL;
}

/* Flags, then the environment, then defaults; options of other commands get their
 * defaults. */
static enum err_code fill(struct options *out, const struct parsing *parsing)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &option_table[i];
        const char *text = parsing->given[i];
        char source[SOURCE_SIZE];
        (void)snprintf(source, sizeof(source), "--%s", option->flag);
        bool is_taken = (option->commands & parsing->command->command) != 0;
        if (is_taken && text == NULL) {
            option_variable(option, source);
            text = from_environment(parsing, source);
        }
        if (is_taken && text == NULL && option->required)
            return err_set(parsing->err, ERR_INVALID, "%s needs --%s %s",
                           parsing->command->name, option->flag, option->value);
        if (text == NULL)
            text = option->fallback;
        if (text != NULL && !store(out, option, text))
            return refuse(option, source, text, parsing->err);
    }
    if (out->prompt == NULL)
        out->prompt = "";
    return ERR_OK;
}

static const struct command_row *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(command_table[i].name, name) == 0)
            return &command_table[i];
    }
    return NULL;
}

enum err_code options_parse(struct options *out,
                            enum options_outcome *outcome,
                            int argc,
                            char *const *argv,
                            FILE *warnings,
                            struct err *err)
{
    struct options options = {0};
    const char *name = argc > 1 ? argv[1] : "";
    bool is_help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    if (is_help || strcmp(name, "--version") == 0) {
        *out = options;
        *outcome = is_help ? OPTIONS_HELP : OPTIONS_VERSION;
        return ERR_OK;
    }
    struct parsing parsing = {find_command(name), {0}, false, warnings, err};
    if (parsing.command == NULL)
        return err_set(err, ERR_INVALID,
                       "expected serve, generate, inspect, healthcheck or bench, found "
                       "\"%.80s\"; sluice --help says more",
                       name);

    enum err_code code = ERR_OK;
    for (int i = 2; code == ERR_OK && !parsing.wants_help && i < argc; i++)
        code = read_argument(&parsing, argc, argv, &i);
    if (code == ERR_OK && !parsing.wants_help)
        code = fill(&options, &parsing);
    if (code != ERR_OK)
        return code;
    options.command = parsing.command->command;
    *out = options;
    *outcome = parsing.wants_help ? OPTIONS_HELP : OPTIONS_RUN;
    return ERR_OK;
}

static void help_option(const struct option *option, FILE *out)
{
    enum { COLUMN = 30 };
    char head[64], letter[8] = "", variable[SOURCE_SIZE];
    option_variable(option, variable);
    if (option->letter != 0)
        (void)snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    (void)snprintf(head, sizeof(head), "  %s--%s %s", letter, option->flag,
                   option->value != NULL ? option->value : "");
    (void)fprintf(out, "%-*s%s\n%*s", COLUMN, head, option->help, COLUMN, "");
    if (option->fallback != NULL && option->fallback[0] != '\0')
        (void)fprintf(out, "default %s, ", option->fallback);
    if (option->low < option->high)
        (void)fprintf(out, "%" PRIu64 " to %" PRIu64 ", ", option->low, option->high);
    (void)fprintf(out, "%s\n", variable);
}

static void help_command(const struct command_row *command, FILE *out)
{
    (void)fprintf(out, "usage: sluice %s %s\n\nTo %s.\n\n", command->name,
                  command->arguments, command->summary);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if ((option_table[i].commands & command->command) != 0)
            help_option(&option_table[i], out);
    }
    (void)fputs(
        "\nAn option is written --flag VALUE or --flag=VALUE. It wins over its "
        "environment\n"
        "variable, which wins over the default; an empty variable counts as absent.\n"
        "BYTES may end in K, M or G.\n",
        out);
}

void options_help(enum command command, FILE *out)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (command_table[i].command == command) {
            help_command(&command_table[i], out);
            return;
        }
    }
    (void)fprintf(out,
                  "usage: sluice COMMAND [OPTION...]\n\nImage generation over HTTP.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)fprintf(out, "  %-14s%s\n", command_table[i].name,
                      command_table[i].summary);
    (void)fprintf(out, "\n  sluice COMMAND --help    a command's options\n"
                       "  sluice --version\n");
}
