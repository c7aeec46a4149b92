/* SPDX-License-Identifier: Apache-2.0 */
/* A hashed timer wheel. A deadline further away than one round waits in its slot for as many
 * rounds as it takes. */
#include "proto/io/wheel.h"

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (unsigned i = 0; i < WHEEL_SLOTS; i++) {
        list_init(&w->slots[i]);
    }
    w->tick = now_ms / WHEEL_TICK_MS;
}

void wheel_timer_init(struct wheel_timer *t, void (*on_due)(struct wheel_timer *t))
{
    list_init(&t->node);
    t->due_ms = 0;
    t->on_due = on_due;
}

/* The first tick at which `due_ms` has passed, but never one that was turned already. */
static uint64_t tick_of(const struct wheel *w, uint64_t due_ms)
{
    uint64_t tick = (due_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
    return tick > w->tick ? tick : w->tick + 1;
}

void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t due_ms)
{
    list_remove(&t->node);
    t->due_ms = due_ms;
    list_push(&w->slots[tick_of(w, due_ms) % WHEEL_SLOTS], &t->node);
}

void wheel_cancel(struct wheel_timer *t)
{
    list_remove(&t->node);
    t->due_ms = 0;
}

/* Moves the slot's timers aside first: a callback may put new ones into the same slot. */
static void turn_slot(struct wheel *w, struct list *slot, uint64_t now_ms)
{
    struct list waiting;
    list_init(&waiting);
    struct list *node = NULL;
    while ((node = list_pop(slot)) != NULL) {
        list_push(&waiting, node);
    }
    while ((node = list_pop(&waiting)) != NULL) {
        struct wheel_timer *t = LIST_ITEM(node, struct wheel_timer, node);
        if (t->due_ms > now_ms) {
            wheel_set(w, t, t->due_ms);
            continue;
        }
        t->due_ms = 0;
        t->on_due(t);
    }
}

void wheel_turn(struct wheel *w, uint64_t now_ms)
{
    uint64_t now_tick = now_ms / WHEEL_TICK_MS;
    uint64_t n_ticks = now_tick > w->tick ? now_tick - w->tick : 0;
    uint64_t n_slots = n_ticks < WHEEL_SLOTS ? n_ticks : WHEEL_SLOTS;
    for (uint64_t i = 1; i <= n_slots; i++) {
        w->tick = now_tick - n_slots + i;
        turn_slot(w, &w->slots[w->tick % WHEEL_SLOTS], now_ms);
    }
}
