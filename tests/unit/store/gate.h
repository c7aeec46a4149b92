/* SPDX-License-Identifier: Apache-2.0 */
/* Work that keeps the store thread until it is let go, so that jobs pile up behind it. */
#ifndef TESTS_UNIT_STORE_GATE_H
#define TESTS_UNIT_STORE_GATE_H

#include <sched.h>
#include <stdatomic.h>

#include "relay/store/store.h"

/* All zero to begin with. */
struct gate {
    _Atomic bool entered;
    _Atomic bool open;
};

static inline void gate_wait(void *user, struct database *db)
{
    struct gate *g = user;
    (void)db;
    atomic_store(&g->entered, true);
    while (!atomic_load(&g->open)) {
        (void)sched_yield();
    }
}

static inline void gate_ignore(void *user)
{
    (void)user;
}

/* Returns when the store thread stands at the gate. */
static inline void gate_close(struct gate *g, struct store *s)
{
    assert_int_equal(store_run(s, gate_wait, gate_ignore, g), 0);
    while (!atomic_load(&g->entered)) {
        (void)sched_yield();
    }
}

static inline void gate_open(struct gate *g)
{
    atomic_store(&g->open, true);
}

#endif
