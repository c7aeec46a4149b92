/* SPDX-License-Identifier: Apache-2.0 */
/* Where commands are executed: written to the KNX log, and the device's state changes. Scenes and
 * buttons run their steps here, one after another, with their pauses between them. */
#ifndef TESTS_SIMULATOR_BUS_H
#define TESTS_SIMULATOR_BUS_H

#include <stdint.h>

#include "proto/http/controller.h"
#include "tests/simulator/alarm.h"
#include "tests/simulator/device.h"
#include "tests/simulator/journal.h"
#include "tests/simulator/number.h"

struct bus {
    struct journal *journal; /* borrowed */
    struct alarms alarms;
};

struct bus_command {
    const struct controller *controller; /* a SET */
    struct device *device;               /* NULL for a telegram */
    struct span guid;                    /* as the caller spelt it; for the log */
    struct span group;
    const struct number *number; /* NULL for "trigger" */
    uint32_t confirm_ms;         /* the state changes that much later; 0 = at once */
    uint64_t request;            /* number of the request that caused it */
};

/* Borrows loop and journal. */
void bus_init(struct bus *b, uv_loop_t *loop, struct journal *journal);

/* Ends running scenes. Their timers close when the loop has run on. */
void bus_close(struct bus *b);

/* Executes a command now. `scenelaunch` 1 and `trigger` start the steps of the device from the
 * first one: those before its first pause are executed inside this call, the others later;
 * `scenelaunch` 0 stops them. */
void bus_execute(struct bus *b, const struct bus_command *c);

#endif
