/* SPDX-License-Identifier: Apache-2.0 */
/* One step of a scene or of a button: a command to a device or a telegram to a group. */
#ifndef TESTS_SIMULATOR_OPERATION_H
#define TESTS_SIMULATOR_OPERATION_H

#include <stdint.h>

#include "proto/http/controller.h"
#include "tests/simulator/group.h"
#include "tests/simulator/number.h"

struct device;

struct operation {
    const struct controller *controller; /* a SET, neither of a scene nor of a button */
    struct device *device;               /* NULL for a telegram */
    char group[GROUP_BYTES];
    struct number number;
    uint32_t pause_ms; /* before this step */
};

#endif
