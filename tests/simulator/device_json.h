/* SPDX-License-Identifier: Apache-2.0 */
/* One device, and one step of a scene, read from their JSON objects (see house.h for the keys).
 * The reason of a failure is one clause without file and device: the caller knows those. */
#ifndef TESTS_SIMULATOR_DEVICE_JSON_H
#define TESTS_SIMULATOR_DEVICE_JSON_H

#include <jansson.h>

#include "proto/base/error.h"
#include "tests/simulator/device.h"
#include "tests/simulator/operation.h"

/* Checks that `text` may be a GUID: 1 to DEVICE_GUID_BYTES - 1 letters, digits and "_-.{}". */
bool device_json_guid_ok(const char *text);

/* Fills `d` but for its number, operations and aliases. `name` and `room` point into `object`.
 * 0 or ERROR_CONFIG. */
int device_json_read(json_t *object, struct device *d, struct error_text *reason);

/* Fills `o` but for its device: `*guid` points into `object`, and is NULL for a telegram.
 * 0 or ERROR_CONFIG. */
int device_json_read_operation(const json_t *object, struct operation *o, const char **guid,
                               struct error_text *reason);

#endif
