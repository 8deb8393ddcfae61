#include "server/options.h"
#include "tests/check.h"

#include <string.h>

enum { MAX_ARGUMENTS = 12 };

/* One command line, its outcome, and what was said. */
struct parse {
    struct options options;
    enum options_outcome outcome;
    enum err_code code;
    struct err err;
    char warnings[512];
};

/* Parses "sluice <words>", cut at blanks. */
static struct parse parse(const char *words)
{
    struct parse p = {0};
    char line[256], program[] = "sluice";
    char *argv[MAX_ARGUMENTS + 1] = {program};
    /* The values that point into argv must outlive this call. */
    static char kept[64][256];
    static size_t n_kept;
    CHECK(n_kept < sizeof(kept) / sizeof(kept[0]) && strlen(words) < sizeof(line));
    char *copy = memcpy(kept[n_kept++], words, strlen(words) + 1), *rest = NULL;
    int argc = 1;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        CHECK(argc < MAX_ARGUMENTS);
        argv[argc++] = word;
    }
    FILE *warnings = tmpfile();
    CHECK(warnings != NULL);
    p.code = options_parse(&p.options, &p.outcome, argc, argv, warnings, &p.err);
    rewind(warnings);
    p.warnings[fread(p.warnings, 1, sizeof(p.warnings) - 1, warnings)] = '\0';
    (void)fclose(warnings);
    return p;
}

static struct options good(const char *words)
{
    struct parse p = parse(words);
    CHECK_OK(p.code, p.err);
    CHECK(p.outcome == OPTIONS_RUN);
    return p.options;
}

static void test_defaults(void)
{
    struct options o = good("serve");
    CHECK(o.command == COMMAND_SERVE);
    CHECK(strcmp(o.model, "model/house") == 0 && strcmp(o.host, "127.0.0.1") == 0);
    CHECK(o.port == 8080 && o.admin_port == 8081 && o.workers == 0);
    CHECK(o.max_batch == 8 && o.queue == 512 && o.max_wait == 30 && o.max_round == 100 &&
          o.max_steps == 100 && o.max_pixels == 0);
    CHECK(o.context_cache == (uint64_t)64 << 20 && o.memory_limit == 0);
    CHECK(o.drain_delay == 5 && o.drain_timeout == 30);
    CHECK(o.metrics_on_service && o.png_text && !o.digest);
    CHECK(strcmp(o.prompt, "") == 0 && strcmp(o.negative_prompt, "") == 0);
}

static void test_forms(void)
{
    struct options o = good("serve --port 9000 --workers=2 --metrics-on-service=off");
    CHECK(o.port == 9000 && o.workers == 2 && !o.metrics_on_service);
    CHECK(good("serve --port 1 --port 2").port == 2);
    CHECK(!good("serve --no-png-text").png_text);
    CHECK(good("serve --no-png-text=off").png_text);
    CHECK(good("serve --context-cache 3K").context_cache == 3072);
    CHECK(good("serve --memory-limit 2g").memory_limit == (uint64_t)2 << 30);
    CHECK(good("serve --memory-limit 7").memory_limit == 7);

    o = good("inspect some/folder --digest --max-batch 2");
    CHECK(o.command == COMMAND_INSPECT && o.digest && o.max_batch == 2);
    CHECK(strcmp(o.model, "some/folder") == 0);
    CHECK(strcmp(good("inspect --model other").model, "other") == 0);

    o = good("generate --prompt cat -o cat.png --guidance 4.5 --steps 8 --seed 07");
    CHECK(strcmp(o.prompt, "cat") == 0 && strcmp(o.output, "cat.png") == 0);
    CHECK(o.guidance > 4.49 && o.guidance < 4.51 && o.steps == 8 && o.width == 0);
    CHECK(strcmp(o.seed, "07") == 0 && strcmp(o.solver, "euler") == 0);
    o = good("generate --output=a.png --prompt=--dashes");
    CHECK(strcmp(o.prompt, "--dashes") == 0 && o.seed == NULL && o.guidance == 0);
    CHECK(good("healthcheck --host :: --admin-port 1").admin_port == 1);
}

/* What is refused, and a piece of what is said. */
static void test_refusals(void)
{
    static const struct {
        const char *words, *said;
    } rows[] = {
        {"", "expected serve, generate"},
        {"sevre", "sevre"},
        {"serve --port 65536",
         "--port: expected an integer from 0 to 65535, found \"65536\""},
        {"serve --port=", "found \"\""},
        {"serve --port -1", "found \"-1\""},
        {"serve --max-batch 0", "from 1 to 64"},
        {"serve --max-batch 65", "from 1 to 64"},
        {"serve --drain-timeout 1.5", "86400"},
        {"serve --context-cache 64X", "bytes, such as 64M"},
        {"serve --context-cache M", "bytes"},
        {"serve --context-cache 99999999999G", "bytes"},
        {"serve --metrics-on-service maybe", "on or off"},
        {"serve --port", "--port needs a value"},
        {"serve --host --port 1", "--host needs a value"},
        {"serve --prot 1", "the nearest is --port"},
        {"serve --max_batch=2", "the nearest is --max-batch"},
        {"serve --batch 2", "the nearest is --max-batch"},
        {"serve --frobnicate", "no option --frobnicate; sluice serve --help"},
        {"serve --prompt cat", "serve has no option --prompt"},
        {"serve folder", "unexpected argument \"folder\""},
        {"serve -o x", "no option -o"},
        {"inspect a b", "unexpected argument \"b\""},
        {"inspect --port 1", "inspect has no option --port"},
        {"healthcheck --workers 1", "healthcheck has no option"},
        {"generate -o a.png", "generate needs --prompt TEXT"},
        {"generate --prompt cat", "generate needs --output FILE"},
        {"generate --prompt cat -o a --guidance 0.5", "a number from 1 to 20"},
        {"generate --prompt cat -o a --guidance nan", "a number from 1 to 20"},
        {"generate --prompt cat -o a --guidance 3x", "a number from 1 to 20"},
        {"generate --prompt cat -o a --steps 0", "from 1 to 1000"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parse p = parse(rows[i].words);
        if (p.code != ERR_INVALID || strstr(p.err.message, rows[i].said) == NULL) {
            (void)fprintf(stderr, "\"%s\": %s\n", rows[i].words, p.err.message);
            CHECK(p.code == ERR_INVALID && strstr(p.err.message, rows[i].said) != NULL);
        }
    }
}

static void set(const char *variable, const char *value)
{
    CHECK(setenv(variable, value, 1) == 0);
}

static void test_environment(void)
{
    set("SLUICE_MAX_BATCH", "3");
    set("SLUICE_NO_PNG_TEXT", "true");
    set("SLUICE_WORKERS", "");
    struct options o = good("serve");
    CHECK(o.max_batch == 3 && !o.png_text && o.workers == 0);
    CHECK(good("serve --max-batch 4").max_batch == 4);

    set("SLUICE_PORT", "tcp://10.0.0.7:8080");
    struct parse p = parse("serve");
    CHECK_OK(p.code, p.err);
    CHECK(p.options.port == 8080);
    CHECK(strstr(p.warnings, "SLUICE_PORT=tcp://10.0.0.7:8080") != NULL);
    CHECK(parse("serve --port 1").warnings[0] == '\0');
    CHECK(parse("healthcheck").warnings[0] == '\0'); /* has no --port */

    set("SLUICE_MAX_BATCH", "many");
    p = parse("serve");
    CHECK(p.code == ERR_INVALID && strstr(p.err.message, "SLUICE_MAX_BATCH:") != NULL);
    CHECK(good("serve --max-batch 4").max_batch == 4); /* not looked at */
    CHECK(good("healthcheck").max_batch == 8);
}

static void test_help(void)
{
    CHECK(parse("--version").outcome == OPTIONS_VERSION);
    struct parse p = parse("--help");
    CHECK(p.code == ERR_OK && p.outcome == OPTIONS_HELP && p.options.command == 0);
    p = parse("generate --help"); /* without what it requires */
    CHECK(p.code == ERR_OK && p.outcome == OPTIONS_HELP);
    CHECK(p.options.command == COMMAND_GENERATE);

    static const enum command commands[] = {0, COMMAND_SERVE, COMMAND_GENERATE,
                                            COMMAND_INSPECT, COMMAND_HEALTHCHECK};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        char line[256];
        size_t lines = 0;
        FILE *out = tmpfile();
        CHECK(out != NULL);
        options_help(commands[i], out);
        rewind(out);
        for (; fgets(line, sizeof(line), out) != NULL; lines++)
            CHECK(strlen(line) <= 81); /* 80 columns and the newline */
        CHECK(lines > 5);
        (void)fclose(out);
    }
}

int main(void)
{
    static const char *const variables[] = {"SLUICE_MODEL", "SLUICE_HOST", "SLUICE_PORT",
                                            "SLUICE_ADMIN_PORT"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        CHECK(unsetenv(variables[i]) == 0);
    test_defaults();
    test_forms();
    test_refusals();
    test_help();
    test_environment();
    return 0;
}
