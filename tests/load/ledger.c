#include "tests/load/ledger.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
#define X(name, text) [OUTCOME_##name] = (text),
        OUTCOME_MAP(X)
#undef X
    };
    return names[outcome];
}

void ledger_init(struct ledger *ledger, const struct load_options *options)
{
    *ledger = (struct ledger){.options = options};
}

void ledger_finish(struct ledger *ledger)
{
    free(ledger->entries);
}

size_t ledger_open(struct ledger *ledger, const struct plan *plan, uint64_t now)
{
    if (ledger->count == ledger->capacity) {
        const size_t capacity = ledger->capacity == 0 ? 1024 : 2 * ledger->capacity;
        struct entry *entries = realloc(ledger->entries, capacity * sizeof(*entries));
        if (entries == NULL)
            return SIZE_MAX;
        ledger->entries = entries;
        ledger->capacity = capacity;
    }
    ledger->entries[ledger->count] =
        (struct entry){.plan = *plan, .started = now, .sent = now, .retry_after = -1};
    return ledger->count++;
}

bool ledger_is_good(const struct ledger *ledger, const struct entry *entry)
{
    const uint64_t deadline = ledger->options->mixes[entry->plan.mix].deadline_ms;
    return entry->outcome == OUTCOME_ANSWERED && entry->status == 200 &&
           (deadline == 0 || entry->finished - entry->sent <= deadline * 1000000);
}

size_t ledger_count(const struct ledger *ledger, enum outcome outcome, int status)
{
    size_t n = 0;
    for (size_t i = 0; i < ledger->count; i++)
        n += ledger->entries[i].outcome == outcome &&
             (status == 0 || ledger->entries[i].status == status);
    return n;
}

bool ledger_is_balanced(const struct ledger *ledger)
{
    return ledger_count(ledger, OUTCOME_PENDING, 0) == 0;
}

enum err_code ledger_write(const struct ledger *ledger, const char *path, struct err *err)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    for (size_t i = 0; i < ledger->count; i++) {
        const struct entry *entry = &ledger->entries[i];
        (void)fprintf(file, "%" PRIu32 "\t%u\t%s\t%d\t%.3f\t%.3f\t%" PRIu32 "\t%s\n",
                      entry->plan.seed, (unsigned)entry->plan.mix,
                      outcome_name(entry->outcome), entry->status,
                      clock_milliseconds(entry->plan.due - ledger->begin),
                      clock_milliseconds(entry->finished - entry->plan.due), entry->steps,
                      entry->digest);
    }
    if (fclose(file) != 0)
        return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    return ERR_OK;
}
