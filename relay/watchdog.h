/* SPDX-License-Identifier: Apache-2.0 */
/* Tells systemd that the relay lives, as long as every worker's loop turns. Main thread. */
#ifndef RELAY_WATCHDOG_H
#define RELAY_WATCHDOG_H

#include <stdbool.h>
#include <uv.h>

#include "relay/worker.h"

struct watchdog {
    uv_timer_t timer;
    struct relay *relay; /* borrowed */
    uint64_t interval_ms;
    bool stuck; /* was told in the log */
};

/* The timer is a handle of the loop from now on: whoever closes the loop closes it. */
void watchdog_init(struct watchdog *d, uv_loop_t *loop, struct relay *relay);

/* Begins, if the unit asks for it (WATCHDOG_USEC): three messages per interval. */
void watchdog_start(struct watchdog *d);
/* Idempotent. */
void watchdog_stop(struct watchdog *d);

/* Whether each worker that has not ended turned its loop within the last `within_ms`. */
bool watchdog_workers_turn(const struct relay *relay, uint64_t now_ms, uint64_t within_ms);

#endif
