/* SPDX-License-Identifier: Apache-2.0 */
/* Grace periods: when may memory be freed that readers without locks may still be looking at?
 * When every reader that was inside at the time it was unlinked has left since.
 *
 * One writer; any number of readers, each of one thread. A reader that sleeps outside holds
 * nothing up. */
#ifndef RELAY_STORE_GRACE_H
#define RELAY_STORE_GRACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/list.h"

struct grace_reader {
    struct list node;
    _Atomic uint64_t entered; /* the age it entered in; 0 = outside */
};

/* Memory that waits. */
struct grace_item {
    void *memory;
    void (*release)(void *user, void *memory);
    uint64_t age;
};

struct grace {
    _Atomic uint64_t age; /* grows with every retirement; never 0 */
    pthread_mutex_t lock; /* of `readers`: taken to join, part and reclaim only */
    struct list readers;
    struct grace_item *items; /* owned; a ring, oldest first */
    size_t first;
    size_t n_items;
    size_t n_slots; /* power of two */
    void *user;
};

/* `user` is given to every release. 0, or ERROR_NOMEM. */
int grace_init(struct grace *g, void *user);

/* Releases everything. All readers must have parted. */
void grace_close(struct grace *g);

void grace_join(struct grace *g, struct grace_reader *r);
void grace_part(struct grace *g, struct grace_reader *r);

/* Before the first look at shared memory. Does nothing if inside already. */
static inline void grace_enter(struct grace *g, struct grace_reader *r)
{
    if (atomic_load_explicit(&r->entered, memory_order_relaxed) == 0) {
        /* Sequentially consistent, as are the writer's unlinking, its look at `entered` and the
         * readers' look-ups: either the writer sees this reader, or this reader sees no more of
         * what the writer unlinked. */
        atomic_store(&r->entered, atomic_load(&g->age));
    }
}

/* Nothing found since grace_enter will be looked at again. */
static inline void grace_leave(struct grace_reader *r)
{
    atomic_store_explicit(&r->entered, 0, memory_order_release);
}

/* Writer: makes room, so that the next `n` retirements cannot fail. 0, or ERROR_NOMEM. */
int grace_reserve(struct grace *g, size_t n);

/* As grace_reserve for a few (up to GRACE_FEW), but without fail: where there is no memory it waits
 * until the readers have left, which they do every loop turn. */
#define GRACE_FEW 8
void grace_make_room(struct grace *g, size_t n);

/* Writer: `memory` has been unlinked (by a sequentially consistent store); `release` is called
 * with it once nobody can see it. grace_reserve must have made room. */
void grace_retire(struct grace *g, void *memory, void (*release)(void *user, void *memory));

/* Writer: releases what may be released. Called now and then. */
void grace_reclaim(struct grace *g);

#endif
