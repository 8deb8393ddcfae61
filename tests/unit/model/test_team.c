/* Units are done once each, whoever does them; helpers leave when called and when the
 * team closes. */
#include "model/team.h"
#include "tests/check.h"

#include <pthread.h>

enum { HELPERS = 3, MOST_UNITS = 64, SHARES = 3000 };

struct helper {
    struct team *team;
    atomic_bool leave;
    struct arena scratch;
    pthread_t thread;
};

struct sheet {
    unsigned done[MOST_UNITS]; /* plain: two hands on one unit would be a race */
    unsigned share;
};

static void do_unit(void *context, size_t unit, struct arena *scratch)
{
    struct sheet *sheet = context;
    size_t mark = arena_mark(scratch);
    unsigned *room = arena_take(scratch, 1, sizeof(*room));
    CHECK(room != NULL && unit < MOST_UNITS);
    *room = sheet->share;
    CHECK(sheet->done[unit] == *room - 1);
    sheet->done[unit] = *room;
    arena_rewind(scratch, mark);
}

static void *help(void *argument)
{
    struct helper *helper = argument;
    team_help(helper->team, &helper->leave, &helper->scratch);
    return NULL;
}

static void start(struct helper *helpers, struct team *team)
{
    struct err err;
    for (size_t i = 0; i < HELPERS; i++) {
        helpers[i].team = team;
        atomic_init(&helpers[i].leave, false);
        CHECK_OK(arena_init(&helpers[i].scratch, 64, &err), err);
        CHECK(pthread_create(&helpers[i].thread, NULL, help, &helpers[i]) == 0);
    }
}

static void join(struct helper *helpers)
{
    for (size_t i = 0; i < HELPERS; i++) {
        CHECK(pthread_join(helpers[i].thread, NULL) == 0);
        arena_finish(&helpers[i].scratch);
    }
}

/* Many shares of 0 to MOST_UNITS - 1 units; every unit of a share is done when it
 * returns. */
static void share_all(struct team *team, struct arena *scratch)
{
    static struct sheet sheet;
    for (unsigned s = 0; s < SHARES; s++) {
        size_t units = s % MOST_UNITS;
        for (size_t i = 0; i < MOST_UNITS; i++)
            sheet.done[i] = sheet.share;
        sheet.share++;
        team_share(team, units, do_unit, &sheet, scratch);
        for (size_t i = 0; i < MOST_UNITS; i++)
            CHECK(sheet.done[i] == (i < units ? sheet.share : sheet.share - 1));
    }
}

int main(void)
{
    struct team team;
    struct arena scratch;
    struct helper helpers[HELPERS];
    struct err err;
    CHECK_OK(arena_init(&scratch, 64, &err), err);
    team_init(&team);
    CHECK(!team_is_open(&team));
    share_all(NULL, &scratch);
    share_all(&team, &scratch);

    /* A closed team is left at once. */
    start(helpers, &team);
    join(helpers);

    team_open(&team);
    start(helpers, &team);
    share_all(&team, &scratch);
    team_close(&team);
    join(helpers);

    /* Called away while the team is open. */
    team_open(&team);
    start(helpers, &team);
    for (size_t i = 0; i < HELPERS; i++)
        atomic_store(&helpers[i].leave, true);
    join(helpers);
    share_all(&team, &scratch);
    arena_finish(&scratch);
    return 0;
}
