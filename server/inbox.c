#include "server/inbox.h"

void inbox_init(struct inbox *inbox, size_t limit)
{
    pending_init(&inbox->pending);
    (void)pthread_mutex_init(&inbox->lock, NULL);
    list_init(&inbox->jobs);
    inbox->limit = limit;
    inbox->mode = INBOX_OPEN;
}

void inbox_finish(struct inbox *inbox)
{
    pending_finish(&inbox->pending);
    (void)pthread_mutex_destroy(&inbox->lock);
}

enum err_code inbox_put(struct inbox *inbox, struct list_node *job, struct err *err)
{
    if (!pending_add(&inbox->pending, inbox->limit))
        return err_set(err, ERR_BUSY, "%zu requests run or wait, which is the most",
                       inbox->limit);
    (void)pthread_mutex_lock(&inbox->lock);
    bool is_open = inbox->mode == INBOX_OPEN;
    if (is_open)
        list_append(&inbox->jobs, job);
    (void)pthread_mutex_unlock(&inbox->lock);
    if (is_open)
        return ERR_OK;
    pending_remove(&inbox->pending);
    return err_set(err, ERR_CANCELED, "the server is shutting down");
}

size_t inbox_take(struct inbox *inbox, struct list *jobs, enum inbox_mode *mode)
{
    size_t n = 0;
    struct list_node *node;
    (void)pthread_mutex_lock(&inbox->lock);
    for (; (node = list_pop(&inbox->jobs)) != NULL; n++)
        list_append(jobs, node);
    *mode = inbox->mode;
    (void)pthread_mutex_unlock(&inbox->lock);
    return n;
}

void inbox_done(struct inbox *inbox)
{
    pending_remove(&inbox->pending);
}

void inbox_set_mode(struct inbox *inbox, enum inbox_mode mode)
{
    (void)pthread_mutex_lock(&inbox->lock);
    inbox->mode = mode > inbox->mode ? mode : inbox->mode;
    (void)pthread_mutex_unlock(&inbox->lock);
}
