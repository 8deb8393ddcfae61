#include "server/helpers.h"

#include <pthread.h>
#include <stdlib.h>

struct helper {
    pthread_t thread;
    struct team *team;
    struct arena scratch;
};

struct helpers {
    struct team *team;
    size_t n; /* that run */
    struct helper all[];
};

static void *help(void *context)
{
    static const atomic_bool never = false;
    struct helper *helper = context;
    team_help(helper->team, &never, &helper->scratch);
    return NULL;
}

static enum err_code start_one(struct helper *helper, size_t scratch, struct err *err)
{
    enum err_code code = arena_init(&helper->scratch, scratch, err);
    if (code != ERR_OK)
        return code;
    if (pthread_create(&helper->thread, NULL, help, helper) == 0)
        return ERR_OK;
    arena_finish(&helper->scratch);
    return err_set(err, ERR_BUSY, "no thread could be started to help");
}

enum err_code helpers_start(
    struct helpers **out, struct team *team, size_t n, size_t scratch, struct err *err)
{
    struct helpers *helpers = calloc(1, sizeof(*helpers) + n * sizeof(helpers->all[0]));
    if (helpers == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %zu helpers", n);
    helpers->team = team;
    team_open(team);
    enum err_code code = ERR_OK;
    while (code == ERR_OK && helpers->n < n) {
        helpers->all[helpers->n].team = team;
        code = start_one(&helpers->all[helpers->n], scratch, err);
        helpers->n += code == ERR_OK;
    }
    if (code == ERR_OK)
        *out = helpers;
    else
        helpers_stop(helpers);
    return code;
}

void helpers_stop(struct helpers *helpers)
{
    if (helpers == NULL)
        return;
    team_close(helpers->team);
    for (size_t i = 0; i < helpers->n; i++) {
        (void)pthread_join(helpers->all[i].thread, NULL);
        arena_finish(&helpers->all[i].scratch);
    }
    free(helpers);
}
