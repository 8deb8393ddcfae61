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

static void move_all(struct list *from, struct list *to)
{
    struct list_node *node;
    while ((node = list_pop(from)) != NULL)
        list_append(to, node);
}

enum err_code inbox_put(struct inbox *inbox, struct list *jobs, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        (void)pending_add(&inbox->pending, SIZE_MAX);
    (void)pthread_mutex_lock(&inbox->lock);
    bool is_open = inbox->orders.mode == INBOX_OPEN;
    if (is_open)
        move_all(jobs, &inbox->jobs);
    (void)pthread_mutex_unlock(&inbox->lock);
    if (is_open)
        return ERR_OK;
    for (size_t i = 0; i < n; i++)
        pending_remove(&inbox->pending);
    return err_set(err, ERR_CANCELED, "the server is shutting down");
}

struct inbox_orders inbox_take(struct inbox *inbox, struct list *jobs)
{
    (void)pthread_mutex_lock(&inbox->lock);
    move_all(&inbox->jobs, jobs);
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
