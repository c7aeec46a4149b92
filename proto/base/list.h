/* SPDX-License-Identifier: Apache-2.0 */
/* An intrusive doubly linked list: the node lives in the item, the list owns nothing. */
#ifndef PROTO_BASE_LIST_H
#define PROTO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

/* The item that holds `node` as its member. */
#define LIST_ITEM(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* True for a node that was initialised and is on no list. */
static inline bool list_alone(const struct list *node)
{
    return node->next == node;
}

static inline void list_push(struct list *l, struct list *node)
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

/* Takes the node off its list; it is alone afterwards, so that a second call does no harm. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* First node, or NULL. */
static inline struct list *list_first(const struct list *l)
{
    return list_empty(l) ? NULL : l->next;
}

/* Takes the first node off and returns it, or NULL. */
static inline struct list *list_pop(struct list *l)
{
    struct list *node = list_first(l);
    if (node != NULL) {
        list_remove(node);
    }
    return node;
}

#endif
