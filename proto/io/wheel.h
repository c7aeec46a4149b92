/* SPDX-License-Identifier: Apache-2.0 */
/* A hashed timer wheel: thousands of coarse deadlines that are set, moved and cancelled in O(1)
 * without a system call. One per loop; the loop's owner turns it. No I/O, not thread-safe. */
#ifndef PROTO_IO_WHEEL_H
#define PROTO_IO_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/list.h"

/* Deadlines fire at the first turn after they are due; turns come every WHEEL_TICK_MS. */
#define WHEEL_TICK_MS 100
#define WHEEL_SLOTS   512

struct wheel_timer {
    struct list node;
    uint64_t due_ms; /* 0 = not set */
    void (*on_due)(struct wheel_timer *t);
};

struct wheel {
    struct list slots[WHEEL_SLOTS];
    uint64_t tick; /* the last one that was turned to */
};

void wheel_init(struct wheel *w, uint64_t now_ms);

/* The timer belongs to the caller, who sets on_due here and keeps it alive while it is set. */
void wheel_timer_init(struct wheel_timer *t, void (*on_due)(struct wheel_timer *t));

/* Sets or moves: fires once, in wheel_turn, when `due_ms` has passed. */
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t due_ms);

/* Idempotent. */
void wheel_cancel(struct wheel_timer *t);

/* Fires all that is due. A callback may set and cancel any timer. */
void wheel_turn(struct wheel *w, uint64_t now_ms);

#endif
