#include "server/inbox.h"

void inbox_init(struct inbox *inbox)
{
    pending_init(&inbox->pending);
    (void)pthread_mutex_init(&inbox->lock, NULL);
    list_init(&inbox->jobs);
    inbox->orders = (struct inbox_orders){0};
}

void inbox_finish(struct inbox *inbox)
{
    pending_finish(&inbox->pending);
    (void)pthread_mutex_destroy(&inbox->lock);
}

enum err_code inbox_put(struct inbox *inbox, struct list_node *job, struct err *err)
{
    (void)pending_add(&inbox->pending, SIZE_MAX);
    (void)pthread_mutex_lock(&inbox->lock);
    bool is_open = inbox->orders.mode == INBOX_OPEN;
    if (is_open)
        list_append(&inbox->jobs, job);
    (void)pthread_mutex_unlock(&inbox->lock);
    if (is_open)
        return ERR_OK;
    pending_remove(&inbox->pending);
    return err_set(err, ERR_CANCELED, "the server is shutting down");
}

struct inbox_orders inbox_take(struct inbox *inbox, struct list *jobs)
{
    struct list_node *node;
    (void)pthread_mutex_lock(&inbox->lock);
    while ((node = list_pop(&inbox->jobs)) != NULL)
        list_append(jobs, node);
    struct inbox_orders orders = inbox->orders;
    inbox->orders.model = NULL;
    (void)pthread_mutex_unlock(&inbox->lock);
    return orders;
}

void inbox_done(struct inbox *inbox)
{
    pending_remove(&inbox->pending);
}

void inbox_set_mode(struct inbox *inbox, enum inbox_mode mode)
{
    (void)pthread_mutex_lock(&inbox->lock);
    if (mode > inbox->orders.mode)
        inbox->orders.mode = mode;
    (void)pthread_mutex_unlock(&inbox->lock);
}

struct served_model *inbox_put_model(struct inbox *inbox, struct served_model *model)
{
    (void)pthread_mutex_lock(&inbox->lock);
    struct served_model *before = inbox->orders.model;
    inbox->orders.model = model;
    (void)pthread_mutex_unlock(&inbox->lock);
    return before;
}
