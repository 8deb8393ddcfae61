/* Values of a JSON file by kind and range; the first failure is the one that is told. */
#include "model/config.h"
#include "tests/check.h"
#include "tests/lib/folder.h"

#include <math.h>
#include <string.h>

static char folder[FOLDER_PATH_SIZE];

static struct config open_text(const char *text)
{
    struct config config;
    struct err err;
    folder_write_text(folder, "config.json", text);
    CHECK_OK(config_open(&config, folder, "config.json", &err), err);
    return config;
}

static void expect_unreadable(const char *text, enum err_code code, const char *part)
{
    struct config config;
    struct err err = {0};
    folder_write_text(folder, "config.json", text);
    CHECK(config_open(&config, folder, "config.json", &err) == code);
    CHECK(strstr(err.message, "config.json") != NULL);
    CHECK(strstr(err.message, part) != NULL);
}

static void test_opening(void)
{
    struct config config;
    struct err err = {0};
    expect_unreadable("", ERR_FORMAT, "config.json:1:");
    expect_unreadable("{\n \"a\": 1,\n}", ERR_FORMAT, "config.json:3:1");
    expect_unreadable("{\"a\": 1, \"a\": 2}", ERR_FORMAT, "duplicate");
    expect_unreadable("[1, 2]", ERR_FORMAT, "expected a JSON object");
    expect_unreadable("{\"a\": 1} x", ERR_FORMAT, "config.json:1:");
    CHECK(config_open(&config, folder, "none.json", &err) == ERR_NOT_FOUND);
    CHECK(strstr(err.message, "none.json") != NULL);

    char text[CONFIG_MAX_BYTES + 2];
    memset(text, ' ', sizeof(text));
    memcpy(text, "{}", 2);
    text[CONFIG_MAX_BYTES] = '\0';
    config = open_text(text);
    config_close(&config);
    text[CONFIG_MAX_BYTES] = ' ';
    text[CONFIG_MAX_BYTES + 1] = '\0';
    expect_unreadable(text, ERR_FORMAT, "at most 1048576");

    char path[2 * CONFIG_PATH_SIZE];
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    CHECK(config_open(&config, path, "config.json", &err) == ERR_INVALID);
    CHECK(strstr(err.message, "too long") != NULL);
}

static void test_good_values(void)
{
    static const char *const text =
        "{\"n\": 12, \"x\": 2.5, \"yes\": true, \"no\": false, \"s\": \"word\","
        " \"null\": null, \"list\": [3, 1, 2], \"same\": [\"word\", \"word\"], "
        "\"class\": [\"library\", \"Class\"],"
        " \"nested\": {\"theta\": 7, \"s\": \"in\", \"null\": null}}";
    struct config c = open_text(text);
    size_t values[3] = {0};
    CHECK(config_size(&c, "n", 12, 12) == 12);
    CHECK(config_size_or(&c, "n", 0, 100, 5) == 12);
    CHECK(config_size_or(&c, "none", 1, 4, 99) == 99);
    CHECK(config_size_or(&c, "null", 1, 4, 99) == 99);
    CHECK(fabs(config_number_or(&c, "x", 2.5, 3.0, 0.0) - 2.5) < 1e-15);
    CHECK(fabs(config_number_or(&c, "n", 0.0, 12.0, 0.0) - 12.0) < 1e-15);
    CHECK(fabs(config_number_or(&c, "none", 0.0, 1.0, 7.5) - 7.5) < 1e-15);
    CHECK(config_flag_or(&c, "yes", false) && !config_flag_or(&c, "no", true));
    CHECK(config_flag_or(&c, "none", true) && !config_flag_or(&c, "null", false));
    CHECK(strcmp(config_text_or(&c, "s", "other"), "word") == 0);
    CHECK(strcmp(config_text_or(&c, "none", "other"), "other") == 0);
    CHECK(config_text_or(&c, "null", NULL) == NULL);
    config_expect_text(&c, "s", "word");
    CHECK(config_sizes(&c, "list", 1, 3, values, 3) == 3);
    CHECK(values[0] == 3 && values[1] == 1 && values[2] == 2);
    CHECK(config_sizes(&c, "none", 1, 3, values, 3) == 0);
    config_expect_texts(&c, "same", "word", 2);
    config_expect_texts(&c, "none", "word", 2);
    config_expect_texts(&c, "null", "word", 2);
    CHECK(strcmp(config_class(&c, "class"), "Class") == 0);
    CHECK(fabs(config_nested_number_or(&c, "nested", "theta", 1.0, 7.0, 1.0) - 7.0) <
          1e-15);
    CHECK(fabs(config_nested_number_or(&c, "nested", "none", 1.0, 7.0, 1.5) - 1.5) <
          1e-15);
    CHECK(fabs(config_nested_number_or(&c, "nested", "null", 1.0, 7.0, 1.5) - 1.5) <
          1e-15);
    CHECK(fabs(config_nested_number_or(&c, "none", "theta", 1.0, 7.0, 1.5) - 1.5) <
          1e-15);
    CHECK(strcmp(config_nested_text_or(&c, "nested", "s", "other"), "in") == 0);
    CHECK(strcmp(config_nested_text_or(&c, "nested", "null", "other"), "other") == 0);
    CHECK(strcmp(config_nested_text_or(&c, "none", "s", "other"), "other") == 0);
    CHECK(config_has(&c, "n") && !config_has(&c, "null") && !config_has(&c, "none"));
    CHECK(config_check(&c, NULL) == ERR_OK);
    config_close(&c);
    config_close(&c);
}

static void read_size(struct config *c)
{
    (void)config_size(c, "v", 2, 9);
}

static void read_size_or(struct config *c)
{
    CHECK(config_size_or(c, "v", 2, 9, 3) == 3);
}

static void read_number(struct config *c)
{
    CHECK(fabs(config_number_or(c, "v", 0.5, 2.0, 1.0) - 1.0) < 1e-15);
}

static void read_flag(struct config *c)
{
    (void)config_flag_or(c, "v", true);
}

static void read_text(struct config *c)
{
    CHECK(strcmp(config_text_or(c, "v", "other"), "other") == 0);
}

static void expect_text(struct config *c)
{
    config_expect_text(c, "v", "Good");
}

static void read_sizes(struct config *c)
{
    size_t values[2];
    CHECK(config_sizes(c, "v", 2, 9, values, 2) == 0);
}

static void expect_texts(struct config *c)
{
    config_expect_texts(c, "v", "Good", 2);
}

static void read_class(struct config *c)
{
    CHECK(config_class(c, "v") == NULL);
}

static void read_nested(struct config *c)
{
    CHECK(fabs(config_nested_number_or(c, "v", "theta", 1.0, 7.0, 1.5) - 1.5) < 1e-15);
}

static void read_nested_text(struct config *c)
{
    CHECK(strcmp(config_nested_text_or(c, "v", "s", "other"), "other") == 0);
}

static const struct bad_value {
    void (*read)(struct config *);
    const char *value, *part;
} bad_values[] = {
    {read_size, NULL, "v is missing"},
    {read_size, "null", "v is missing"},
    {read_size, "1", "v: expected an integer from 2 to 9"},
    {read_size, "10", "from 2 to 9"},
    {read_size, "-3", "from 2 to 9"},
    {read_size, "9223372036854775807", "from 2 to 9"},
    {read_size, "4.0", "expected an integer"},
    {read_size, "\"4\"", "expected an integer"},
    {read_size, "true", "expected an integer"},
    {read_size_or, "1", "from 2 to 9"},
    {read_size_or, "[4]", "expected an integer"},
    {read_number, "0.4", "v: expected a number from 0.5 to 2"},
    {read_number, "2.1", "a number from 0.5 to 2"},
    {read_number, "\"1\"", "a number"},
    {read_number, "1e308", "a number"},
    {read_flag, "1", "v: expected true or false"},
    {read_flag, "\"true\"", "true or false"},
    {read_text, "1", "v: expected a string"},
    {read_text, "[\"a\"]", "a string"},
    {expect_text, NULL, "v is missing, expected \"Good\""},
    {expect_text, "\"Bad\"", "v is \"Bad\", expected \"Good\""},
    {expect_text, "7", "expected a string"},
    {read_sizes, "[]", "a list of 1 to 2 integers"},
    {read_sizes, "[3, 3, 3]", "a list of 1 to 2 integers"},
    {read_sizes, "3", "a list of 1 to 2 integers"},
    {read_sizes, "[3, 10]", "v[1]: expected an integer from 2 to 9"},
    {read_sizes, "[3, \"4\"]", "v[1]: expected an integer"},
    {expect_texts, "\"Good\"", "v: expected a list of 2 strings"},
    {expect_texts, "[]", "v: expected a list of 2 strings"},
    {expect_texts, "[\"Good\", \"Good\", \"Good\"]", "a list of 2 strings"},
    {expect_texts, "[\"Good\", \"Bad\"]", "v[1] is \"Bad\", expected \"Good\""},
    {expect_texts, "[7, \"Good\"]", "v[0] is \"no string\", expected \"Good\""},
    {read_class, NULL, "v: expected [library, class]"},
    {read_class, "[\"one\"]", "v: expected [library, class]"},
    {read_class, "[\"one\", 2]", "v: expected [library, class]"},
    {read_class, "\"one\"", "v: expected [library, class]"},
    {read_nested, "{\"theta\": \"x\"}", "v.theta: expected a number from 1 to 7"},
    {read_nested, "{\"theta\": 0}", "v.theta: expected a number from 1 to 7"},
    {read_nested, "{\"theta\": 7.5}", "v.theta: expected a number from 1 to 7"},
    {read_nested, "[7]", "v: expected an object"},
    {read_nested_text, "{\"s\": 7}", "v.s: expected a string"},
};

/* A failure by name and expectation, with the file's path in front. */
static void test_bad_values(void)
{
    for (size_t i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++) {
        char text[128];
        struct err err = {0};
        if (bad_values[i].value == NULL)
            (void)snprintf(text, sizeof(text), "{}");
        else
            (void)snprintf(text, sizeof(text), "{\"v\": %s}", bad_values[i].value);
        struct config config = open_text(text);
        bad_values[i].read(&config);
        CHECK(config_check(&config, &err) == ERR_FORMAT && err.code == ERR_FORMAT);
        CHECK(strstr(err.message, "config.json: ") != NULL);
        CHECK(strstr(err.message, bad_values[i].part) != NULL);
        config_close(&config);
    }
}

static void test_first_failure_wins(void)
{
    struct err err;
    struct config c = open_text("{\"a\": 1, \"b\": 2}");
    config_refuse(&c, "reason %d", 1);
    config_refuse(&c, "reason %d", 2);
    CHECK(config_size(&c, "b", 5, 6) == 5);
    CHECK(!config_has(&c, "a"));
    CHECK(config_check(&c, &err) == ERR_FORMAT);
    CHECK(strstr(err.message, "reason 1") != NULL);
    CHECK(config_check(&c, NULL) == ERR_FORMAT);
    config_close(&c);
}

int main(void)
{
    folder_create(folder);
    test_opening();
    test_good_values();
    test_bad_values();
    test_first_failure_wins();
    folder_remove(folder);
    return 0;
}
