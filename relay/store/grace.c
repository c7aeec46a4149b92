/* SPDX-License-Identifier: Apache-2.0 */
/* Quiescent-state reclamation. Every retirement is stamped with the age that it begins; a reader
 * that entered in that age or later entered after the unlinking and cannot have seen the item. */
#include "relay/store/grace.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

#include "proto/base/error.h"

/* Room of the first allocation, which a full memory has to make do with. */
#define SLOTS_MIN 64
_Static_assert(GRACE_FEW <= SLOTS_MIN, "a few always fit once the grace is over");

int grace_init(struct grace *g, void *user)
{
    *g = (struct grace){.user = user};
    atomic_init(&g->age, 1);
    list_init(&g->readers);
    if (grace_reserve(g, SLOTS_MIN) != 0) {
        return ERROR_NOMEM;
    }
    if (pthread_mutex_init(&g->lock, NULL) != 0) {
        free(g->items);
        return ERROR_NOMEM;
    }
    return 0;
}

void grace_close(struct grace *g)
{
    assert(list_empty(&g->readers));
    grace_reclaim(g);
    assert(g->n_items == 0);
    free(g->items);
    (void)pthread_mutex_destroy(&g->lock); /* fails only if held, and nobody is left to hold it */
}

void grace_join(struct grace *g, struct grace_reader *r)
{
    atomic_init(&r->entered, 0);
    (void)pthread_mutex_lock(&g->lock);
    list_push(&g->readers, &r->node);
    (void)pthread_mutex_unlock(&g->lock);
}

void grace_part(struct grace *g, struct grace_reader *r)
{
    grace_leave(r);
    (void)pthread_mutex_lock(&g->lock);
    list_remove(&r->node);
    (void)pthread_mutex_unlock(&g->lock);
}

int grace_reserve(struct grace *g, size_t n)
{
    size_t n_slots = g->n_slots == 0 ? SLOTS_MIN : g->n_slots;

    if (n <= g->n_slots - g->n_items) {
        return 0;
    }
    while (n_slots - g->n_items < n) {
        if (n_slots > SIZE_MAX / 2 / sizeof(*g->items)) {
            return ERROR_NOMEM;
        }
        n_slots *= 2;
    }
    struct grace_item *items = malloc(n_slots * sizeof(*items));
    if (items == NULL) {
        return ERROR_NOMEM;
    }
    for (size_t i = 0; i < g->n_items; i++) {
        items[i] = g->items[(g->first + i) & (g->n_slots - 1)];
    }
    free(g->items);
    g->items = items;
    g->first = 0;
    g->n_slots = n_slots;
    return 0;
}

void grace_make_room(struct grace *g, size_t n)
{
    assert(n <= GRACE_FEW);
    if (grace_reserve(g, n) == 0) {
        return;
    }
    while (g->n_slots - g->n_items < n) {
        grace_reclaim(g);
        (void)sched_yield(); /* cannot fail on Linux */
    }
}

void grace_retire(struct grace *g, void *memory, void (*release)(void *user, void *memory))
{
    assert(g->n_items < g->n_slots);
    uint64_t age = atomic_fetch_add(&g->age, 1) + 1;
    g->items[(g->first + g->n_items) & (g->n_slots - 1)] =
        (struct grace_item){memory, release, age};
    g->n_items++;
}

/* The oldest age that a reader inside entered in; UINT64_MAX = nobody is inside. */
static uint64_t oldest_reader(struct grace *g)
{
    uint64_t oldest = UINT64_MAX;

    (void)pthread_mutex_lock(&g->lock);
    for (struct list *node = g->readers.next; node != &g->readers; node = node->next) {
        struct grace_reader *r = LIST_ITEM(node, struct grace_reader, node);
        uint64_t entered = atomic_load(&r->entered);
        if (entered != 0 && entered < oldest) {
            oldest = entered;
        }
    }
    (void)pthread_mutex_unlock(&g->lock);
    return oldest;
}

void grace_reclaim(struct grace *g)
{
    if (g->n_items == 0) {
        return;
    }
    uint64_t oldest = oldest_reader(g);
    while (g->n_items > 0 && g->items[g->first].age <= oldest) {
        struct grace_item item = g->items[g->first];
        g->first = (g->first + 1) & (g->n_slots - 1);
        g->n_items--;
        item.release(g->user, item.memory);
    }
}
