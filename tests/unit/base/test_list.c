/* A list against an array that does the same. */
#include "base/list.h"
#include "tests/check.h"
#include "tests/lib/draw.h"

#include <string.h>

enum { MANY = 30, MOVES = 20000 };

struct thing {
    int number;
    struct list_node node;
};

static void expect(const struct list *list, struct thing *const *order, size_t n)
{
    struct list_node *node = list_first(list);
    CHECK(list_is_empty(list) == (n == 0));
    for (size_t i = 0; i < n; i++) {
        CHECK(node == &order[i]->node);
        CHECK(list_entry(node, struct thing, node) == order[i]);
        node = list_next(list, node);
    }
    CHECK(node == NULL);
    const struct list_node *back = list->head.previous;
    for (size_t i = n; i-- > 0; back = back->previous)
        CHECK(back == &order[i]->node);
    CHECK(back == &list->head);
}

static void take_out(struct thing **order, size_t *n, size_t at)
{
    memmove(order + at, order + at + 1, (*n - at - 1) * sizeof(struct thing *));
    (*n)--;
}

int main(void)
{
    struct thing things[MANY], *order[MANY];
    struct list list;
    struct draw draw = {5};
    size_t n = 0;
    list_init(&list);
    CHECK(list_first(&list) == NULL && list_pop(&list) == NULL);
    for (int i = 0; i < MANY; i++)
        things[i] = (struct thing){.number = i};
    for (int move = 0; move < MOVES; move++) {
        struct thing *thing = &things[draw_below(&draw, MANY)];
        if (thing->node.next == NULL) {
            list_append(&list, &thing->node);
            order[n++] = thing;
        } else if (draw_below(&draw, 2) == 0) {
            size_t at = 0;
            while (order[at] != thing)
                at++;
            list_remove(&thing->node);
            take_out(order, &n, at);
            CHECK(thing->node.next == NULL && thing->node.previous == NULL);
        } else {
            CHECK(list_pop(&list) == &order[0]->node);
            take_out(order, &n, 0);
        }
        expect(&list, order, n);
    }
    return 0;
}
