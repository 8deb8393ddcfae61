#include "server/api_keys.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_FILE = 256 * 1024,
    MAX_FIELDS = 4, /* name, digest, rate, burst */
    BURST_SECONDS = 60,
    DIGEST_DIGITS = DIGEST_TEXT_SIZE - 1
};

static const char blanks[] = " \t\r\n";

struct api_keys {
    size_t n;
    struct api_key keys[];
};

/* A line's fields, cut out in place. */
struct fields {
    size_t n;
    char *at[MAX_FIELDS + 1]; /* one too many is one too many */
};

static struct fields split(char *line)
{
    struct fields fields = {0};
    char *rest;
    for (char *field = strtok_r(line, blanks, &rest);
         field != NULL && fields.n <= MAX_FIELDS; field = strtok_r(NULL, blanks, &rest))
        fields.at[fields.n++] = field;
    return fields;
}

static bool read_name(struct api_key *key, const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strlen(name);
    if (length >= API_KEY_NAME_SIZE || strspn(name, allowed) != length)
        return false;
    memcpy(key->name, name, length + 1);
    return true;
}

/* Hex digits of either case. */
static bool read_digest(struct api_key *key, const char *digest)
{
    if (strlen(digest) != DIGEST_DIGITS ||
        strspn(digest, "0123456789abcdefABCDEF") != DIGEST_DIGITS)
        return false;
    for (size_t i = 0; i <= DIGEST_DIGITS; i++) {
        bool is_upper = digest[i] >= 'A' && digest[i] <= 'F';
        key->digest[i] = (char)(is_upper ? digest[i] - 'A' + 'a' : digest[i]);
    }
    return true;
}

/* NULL when all is well, else what is wrong with the line. */
static const char *
read_key(struct api_key *key, const struct fields *fields, uint64_t now)
{
    uint64_t rate = 0, burst = 0;
    *key = (struct api_key){.is_limited = fields->n > 2};
    if (fields->n < 2 || fields->n > MAX_FIELDS)
        return "a name, a SHA-256 and at most two numbers are expected";
    if (!read_name(key, fields->at[0]))
        return "a name is expected first: 1 to 64 of A-Z a-z 0-9 . _ -";
    if (!read_digest(key, fields->at[1]))
        return "a SHA-256 is expected behind the name: 64 hex digits";
    if (!key->is_limited)
        return NULL;
    if (!text_to_unsigned(fields->at[2], 1, INT64_MAX / BURST_SECONDS, &rate))
        return "a rate is an integer above 0, in evaluations x pixels a second";
    burst = rate * BURST_SECONDS;
    if (fields->n > 3 && !text_to_unsigned(fields->at[3], 1, INT64_MAX, &burst))
        return "the last field is an integer above 0, in evaluations x pixels";
    token_bucket_init(&key->bucket, (double)rate, (double)burst, now);
    return NULL;
}

static const char *find_double(const struct api_keys *keys, const struct api_key *key)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (strcmp(keys->keys[i].name, key->name) == 0)
            return "another line has the same name";
        if (strcmp(keys->keys[i].digest, key->digest) == 0)
            return "another line has the same key";
    }
    return NULL;
}

/* text is cut into its fields. */
static enum err_code read_lines(
    struct api_keys *keys, char *text, const char *source, uint64_t now, struct err *err)
{
    size_t number = 1;
    for (char *line = text, *next; line != NULL; line = next, number++) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        struct fields fields = split(line);
        if (fields.n == 0 || fields.at[0][0] == '#')
            continue;
        struct api_key *key = &keys->keys[keys->n];
        const char *wrong = read_key(key, &fields, now);
        if (wrong == NULL)
            wrong = find_double(keys, key);
        if (wrong != NULL)
            return err_set(err, ERR_FORMAT, "%s, line %zu: %s", source, number, wrong);
        keys->n++;
    }
    if (keys->n == 0)
        return err_set(err, ERR_FORMAT, "%s: no key in it, so that nobody could ask",
                       source);
    return ERR_OK;
}

enum err_code api_keys_parse(struct api_keys **out,
                             const char *text,
                             const char *source,
                             uint64_t now,
                             struct err *err)
{
    size_t lines = 1;
    for (const char *c = text; *c != '\0'; c++)
        lines += *c == '\n';
    struct api_keys *keys = calloc(1, sizeof(*keys) + lines * sizeof(keys->keys[0]));
    char *copy = strdup(text);
    enum err_code code =
        keys != NULL && copy != NULL
            ? read_lines(keys, copy, source, now, err)
            : err_set(err, ERR_NO_MEMORY, "no memory for the keys of %s", source);
    free(copy);
    if (code != ERR_OK) {
        api_keys_close(keys);
        return code;
    }
    *out = keys;
    return ERR_OK;
}

enum err_code
api_keys_open(struct api_keys **out, const char *path, uint64_t now, struct err *err)
{
    char *text;
    size_t length;
    enum err_code code = text_read_file(&text, &length, path, MAX_FILE, err);
    if (code != ERR_OK)
        return code;
    code = strlen(text) == length
               ? api_keys_parse(out, text, path, now, err)
               : err_set(err, ERR_FORMAT, "%s: text is expected, found a NUL", path);
    free(text);
    return code;
}

void api_keys_close(struct api_keys *keys)
{
    free(keys);
}

/* What stands behind "Bearer", whose case does not matter; NULL if there is nothing. */
static const char *bearer(const char *authorization, size_t *length)
{
    static const char scheme[] = "bearer";
    char given[sizeof(scheme)] = "";
    size_t n = authorization == NULL ? 0 : strcspn(authorization, " \t");
    if (n != sizeof(scheme) - 1)
        return NULL;
    memcpy(given, authorization, n);
    if (!text_equal_ignoring_case(given, scheme))
        return NULL;
    const char *token = authorization + n + strspn(authorization + n, " \t");
    *length = strcspn(token, " \t");
    bool is_last = token[*length + strspn(token + *length, " \t")] == '\0';
    return *length > 0 && is_last ? token : NULL;
}

struct api_key *api_keys_find(struct api_keys *keys, const char *authorization)
{
    struct api_key *found = NULL;
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    size_t length;
    const char *token = bearer(authorization, &length);
    if (token == NULL)
        return NULL;
    digest_init(&digest);
    digest_add(&digest, token, length);
    digest_finish(&digest, text);
    for (size_t i = 0; i < keys->n; i++) {
        if (digest_equal(keys->keys[i].digest, text))
            found = &keys->keys[i];
    }
    return found;
}
