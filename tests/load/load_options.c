#include "tests/load/load_options.h"

#include "base/buf.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char HELP[] =
    "usage: open_loop [OPTION...] HOST:PORT...\n"
    "\n"
    "Sends requests at scheduled instants, whether or not answers come, and measures "
    "each\n"
    "from the instant it was due. Several targets are taken in turn. A table goes to\n"
    "stderr, JSON to stdout.\n"
    "\n"
    "  --rate N              requests a second\n"
    "  --constant            at equal distances, in place of a Poisson process\n"
    "  --closed N            in place of --rate: N clients, each asking again when "
    "answered\n"
    "  --seconds S           how long to send\n"
    "  --count N             how many to send (whichever ends first)\n"
    "  --patience S          until a request is given up as lost; default 60\n"
    "  --mix W:K=V,...       a kind of request: its weight, and fields as JSON values, "
    "such\n"
    "                        as 3:steps=4,width=128,deadline_ms=2000,min_steps=2;\n"
    "                        may be repeated; default 1:\n"
    "  --prompt TEXT         default \"a cat\"\n"
    "  --prompts N           so many different prompts; default 1\n"
    "  --first-seed N        seeds count up from here; default 1\n"
    "  --random-seed N       of the arrivals, the mix and who leaves; default 1\n"
    "  --leave SHARE:S       a share of the clients closes after S seconds\n"
    "  --new-connections     one for each request, in place of a pool that is kept "
    "alive\n"
    "  --header LINE         sent with each request; may be repeated\n"
    "  --get PATH            a GET of that path in place of POST /v1/generate\n"
    "  --entries FILE        a line for each request, tab-separated: seed, mix, "
    "outcome,\n"
    "                        status, due and latency in ms, steps, SHA-256 of the body\n"
    "\n"
    "Every request ends in one row of the ledger: answered (by status), refused (429, "
    "503),\n"
    "aborted (the client left) or lost (with a reason). The exit status is 0 when they "
    "sum\n"
    "up to what was sent, whatever the answers were.\n";

enum long_option {
    RATE = 256,
    CONSTANT,
    CLOSED,
    SECONDS,
    COUNT,
    PATIENCE,
    MIX,
    PROMPT,
    PROMPTS,
    FIRST_SEED,
    RANDOM_SEED,
    LEAVE,
    NEW_CONNECTIONS,
    HEADER,
    GET,
    ENTRIES
};

static const struct option long_options[] = {
    {"rate", required_argument, NULL, RATE},
    {"constant", no_argument, NULL, CONSTANT},
    {"closed", required_argument, NULL, CLOSED},
    {"seconds", required_argument, NULL, SECONDS},
    {"count", required_argument, NULL, COUNT},
    {"patience", required_argument, NULL, PATIENCE},
    {"mix", required_argument, NULL, MIX},
    {"prompt", required_argument, NULL, PROMPT},
    {"prompts", required_argument, NULL, PROMPTS},
    {"first-seed", required_argument, NULL, FIRST_SEED},
    {"random-seed", required_argument, NULL, RANDOM_SEED},
    {"leave", required_argument, NULL, LEAVE},
    {"new-connections", no_argument, NULL, NEW_CONNECTIONS},
    {"header", required_argument, NULL, HEADER},
    {"get", required_argument, NULL, GET},
    {"entries", required_argument, NULL, ENTRIES},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

void load_options_help(void)
{
    (void)fputs(HELP, stdout);
}

/* The number that `text` begins with, 0 or more; *end is behind it. */
static bool
read_number(const char *name, const char *text, double *out, char **end, struct err *err)
{
    *out = strtod(text, end);
    if (*end != text && isfinite(*out) && *out >= 0)
        return true;
    (void)err_set(err, ERR_INVALID, "--%s: expected a number, found \"%s\"", name, text);
    return false;
}

static bool whole_number(const char *name, const char *text, double *out, struct err *err)
{
    char *end;
    if (!read_number(name, text, out, &end, err))
        return false;
    if (*end == '\0')
        return true;
    (void)err_set(err, ERR_INVALID, "--%s: expected a number, found \"%s\"", name, text);
    return false;
}

static bool
whole_count(const char *name, const char *text, uint64_t *out, struct err *err)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (end != text && *end == '\0' && errno == 0 && text[0] != '-')
        return true;
    (void)err_set(err, ERR_INVALID, "--%s: expected an integer, found \"%s\"", name,
                  text);
    return false;
}

/* "steps=4,width=128" as members of a JSON object, each behind a comma. */
static bool write_fields(struct mix *mix, const char *text, struct err *err)
{
    struct buf fields;
    size_t length;
    buf_init(&fields, 4096);
    (void)buf_append(&fields, "", 0);
    while (*text != '\0') {
        const char *equals = strchr(text, '=');
        const size_t end = strcspn(text, ",");
        if (equals == NULL || equals > text + end) {
            buf_finish(&fields);
            (void)err_set(err, ERR_INVALID, "--mix: expected FIELD=VALUE, found \"%s\"",
                          text);
            return false;
        }
        const int name = (int)(equals - text);
        (void)buf_print(&fields, ",\"%.*s\":%.*s", name, text, (int)end - name - 1,
                        equals + 1);
        if (strncmp(text, "deadline_ms=", 12) == 0)
            mix->deadline_ms = (uint32_t)strtoul(equals + 1, NULL, 10);
        if (strncmp(text, "steps=", 6) == 0)
            mix->steps = (uint32_t)strtoul(equals + 1, NULL, 10);
        text += end + (text[end] == ',');
    }
    (void)buf_append(&fields, "", 1); /* a text, also without any field */
    mix->fields = buf_take(&fields, &length);
    if (mix->fields == NULL)
        (void)err_set(err, ERR_NO_MEMORY, "--mix: no memory");
    return mix->fields != NULL;
}

static bool add_mix(struct load_options *out, const char *text, struct err *err)
{
    char *end;
    if (out->mix_count == LOAD_MIXES) {
        (void)err_set(err, ERR_INVALID, "--mix: at most %d", LOAD_MIXES);
        return false;
    }
    struct mix *mix = &out->mixes[out->mix_count];
    if (!read_number("mix", text, &mix->weight, &end, err))
        return false;
    if (*end != ':') {
        (void)err_set(err, ERR_INVALID, "--mix: expected WEIGHT:FIELDS, found \"%s\"",
                      text);
        return false;
    }
    if (!write_fields(mix, end + 1, err))
        return false;
    out->mix_count++;
    return true;
}

static bool add_header(struct load_options *out, const char *text, struct err *err)
{
    if (out->header_count == LOAD_HEADERS) {
        (void)err_set(err, ERR_INVALID, "--header: at most %d", LOAD_HEADERS);
        return false;
    }
    out->headers[out->header_count++] = text;
    return true;
}

static bool read_leave(struct load_options *out, const char *text, struct err *err)
{
    char *end;
    return read_number("leave", text, &out->leave_share, &end, err) &&
           whole_number("leave", *end == ':' ? end + 1 : "", &out->leave_seconds, err);
}

static bool store(struct load_options *out, int option, const char *text, struct err *err)
{
    switch (option) {
    case RATE:
        return whole_number("rate", text, &out->rate, err);
    case CONSTANT:
        return out->constant = true;
    case CLOSED:
        return whole_count("closed", text, &out->clients, err);
    case SECONDS:
        return whole_number("seconds", text, &out->seconds, err);
    case COUNT:
        return whole_count("count", text, &out->count, err);
    case PATIENCE:
        return whole_number("patience", text, &out->patience, err);
    case MIX:
        return add_mix(out, text, err);
    case PROMPT:
        out->prompt = text;
        return true;
    case PROMPTS:
        return whole_count("prompts", text, &out->prompts, err);
    case FIRST_SEED:
        return whole_count("first-seed", text, &out->first_seed, err);
    case RANDOM_SEED:
        return whole_count("random-seed", text, &out->random_seed, err);
    case LEAVE:
        return read_leave(out, text, err);
    case NEW_CONNECTIONS:
        return out->new_connections = true;
    case HEADER:
        return add_header(out, text, err);
    case GET:
        out->get = text;
        return true;
    case ENTRIES:
        out->entries = text;
        return true;
    case 'h':
        return out->wants_help = true;
    default:
        (void)err_set(err, ERR_INVALID, "open_loop --help lists the options");
        return false;
    }
}

/* "host:port" or "[host]:port", looked up once. */
static bool add_target(struct load_options *out, const char *name, struct err *err)
{
    const char *colon = strrchr(name, ':');
    char host[256];
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    if (out->target_count == LOAD_TARGETS || colon == NULL ||
        (size_t)(colon - name) >= sizeof(host)) {
        (void)err_set(err, ERR_INVALID, "expected at most %d of HOST:PORT, found \"%s\"",
                      LOAD_TARGETS, name);
        return false;
    }
    const bool bracketed = name[0] == '[' && colon > name && colon[-1] == ']';
    (void)snprintf(host, sizeof(host), "%.*s", (int)(colon - name) - 2 * bracketed,
                   name + bracketed);
    const int status = getaddrinfo(host, colon + 1, &hints, &found);
    if (status != 0) {
        (void)err_set(err, ERR_INVALID, "%s: %s", name, gai_strerror(status));
        return false;
    }
    struct target *target = &out->targets[out->target_count++];
    target->name = name;
    target->address_length = found->ai_addrlen;
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

static bool check(struct load_options *out, struct err *err)
{
    if (out->target_count == 0)
        (void)err_set(err, ERR_INVALID, "expected a target: HOST:PORT");
    else if ((out->rate > 0) == (out->clients > 0))
        (void)err_set(err, ERR_INVALID, "expected either --rate or --closed");
    else if (out->seconds <= 0 && out->count == 0)
        (void)err_set(err, ERR_INVALID, "expected --seconds or --count");
    else if (out->prompts == 0)
        (void)err_set(err, ERR_INVALID, "--prompts: expected at least 1");
    else
        return out->mix_count > 0 || add_mix(out, "1:", err);
    return false;
}

enum err_code
load_options_parse(struct load_options *out, int argc, char **argv, struct err *err)
{
    int option;
    bool ok = true;
    *out = (struct load_options){.patience = 60,
                                 .first_seed = 1,
                                 .random_seed = 1,
                                 .prompts = 1,
                                 .prompt = "a cat"};
    while (ok && (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
        ok = store(out, option, optarg, err);
    if (ok && out->wants_help)
        return ERR_OK;
    for (int i = optind; ok && i < argc; i++)
        ok = add_target(out, argv[i], err);
    return ok && check(out, err) ? ERR_OK : err->code;
}

void load_options_finish(struct load_options *options)
{
    for (size_t i = 0; i < options->mix_count; i++)
        free(options->mixes[i].fields);
}
