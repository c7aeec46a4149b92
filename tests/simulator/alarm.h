/* SPDX-License-Identifier: Apache-2.0 */
/* One-shot timers that come and go: a device's feedback, a delayed answer, a scene's pause. */
#ifndef TESTS_SIMULATOR_ALARM_H
#define TESTS_SIMULATOR_ALARM_H

#include <stdint.h>

#include <uv.h>

#include "proto/base/list.h"

/* Most alarms at a time: one per connection and scene, with room to spare. */
#define ALARMS_MAX 65536

struct alarm;

typedef void (*alarm_callback)(void *arg);

struct alarms {
    uv_loop_t *loop; /* borrowed */
    struct list list;
    uint32_t n_alarms;
};

void alarms_init(struct alarms *a, uv_loop_t *loop);

/* Cancels all. Their memory goes when the loop has run on. Idempotent. */
void alarms_close(struct alarms *a);

/* Calls `on_alarm` once, from the loop, `ms` after uv_now. `*alarm` is gone by then; it belongs to
 * the alarms and may only be cancelled. 0; ERROR_LIMIT; ERROR_NOMEM: then it is never called. */
int alarm_start(struct alarms *a, uint64_t ms, alarm_callback on_alarm, void *arg,
                struct alarm **alarm);

/* The callback will not come. NULL is allowed. */
void alarm_cancel(struct alarm *alarm);

#endif
