/*
 * list - an intrusive doubly linked list with a sentinel.
 *
 * A struct that can stand in a list has a `struct list_node` member; list_entry gets
 * from the node back to the struct. The list never allocates.
 *
 * The lines marked NOLINT are where clang's analyzer, which does not know that a node's
 * neighbours are never freed before it leaves the list, sees what cannot happen.
 *
 * Threads: none of its own; whoever owns the list owns its nodes' links.
 * Ownership: borrowed; removing a node is the owner's business before freeing it.
 */
#ifndef SLUICE_BASE_LIST_H
#define SLUICE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *previous;
};

struct list {
    struct list_node head; /* head.next is the first, head.previous the last */
};

#define list_entry(node, type, member)                                                   \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
    list->head.next = list->head.previous = &list->head;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->head.next == &list->head;
}

static inline void list_append(struct list *list, struct list_node *node)
{
    node->previous = list->head.previous;
    node->next = &list->head;
    list->head.previous->next = node;
    list->head.previous = node;
}

/* Behind `before`, which is in the list; NULL: first. */
static inline void
list_insert(struct list *list, struct list_node *before, struct list_node *node)
{
    struct list_node *previous = before == NULL ? &list->head : before;
    node->previous = previous;
    node->next = previous->next;
    previous->next->previous = node; /* NOLINT(clang-analyzer-*) */
    previous->next = node;
}

static inline void list_remove(struct list_node *node)
{
    node->previous->next = node->next; /* NOLINT(clang-analyzer-*) */
    node->next->previous = node->previous;
    node->next = node->previous = NULL;
}

/* The first node, still in the list; NULL when the list is empty. */
static inline struct list_node *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next; /* NOLINT(clang-analyzer-*) */
}

/* The node after this one; NULL at the end. */
static inline struct list_node *list_next(const struct list *list,
                                          const struct list_node *node)
{
    return node->next == &list->head ? NULL : node->next;
}

/* The last node, still in the list; NULL when the list is empty. */
static inline struct list_node *list_last(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.previous;
}

/* The node before this one; NULL at the beginning. */
static inline struct list_node *list_previous(const struct list *list,
                                              const struct list_node *node)
{
    return node->previous == &list->head ? NULL : node->previous;
}

/* Takes the first node out; NULL when the list is empty. */
static inline struct list_node *list_pop(struct list *list)
{
    struct list_node *node = list_first(list);
    if (node != NULL)
        list_remove(node);
    return node;
}

#endif
