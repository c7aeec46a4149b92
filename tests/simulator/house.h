/* SPDX-License-Identifier: Apache-2.0 */
/* All devices of the building, read from a JSON text and found by class and GUID.
 *
 *     {"version": "01.05.02.11", "pbx_users": ["101", "102"],
 *      "rooms": [{"name": "Kitchen", "devices": [DEVICE...]}], "devices": [DEVICE...]}
 *
 * DEVICE: "class" (light, blind, analog, thermostat, hvac, scene, button) and "guid" are required;
 * "aliases" (other spellings of the GUID), "name", "room" and "delay_ms" (how long it takes to
 * confirm a command) may follow; and by class: "dimmable", "power", "level" - "height", "angle",
 * "travel_ms" - "value", "min", "max" - "temperature", "setpoint", "mode", "chrono" - "power",
 * "setpoint", "mode", "fan" - "operations": [{"controller", "guid" or "group", "value",
 * "pause_ms"}]. Numbers may be written as strings, which keeps decimals exactly as written.
 * Anything else is an error, so that a misspelt key is noticed. */
#ifndef TESTS_SIMULATOR_HOUSE_H
#define TESTS_SIMULATOR_HOUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "proto/base/map.h"
#include "proto/base/span.h"
#include "tests/simulator/device.h"

/* Most devices, most spellings of one GUID, most steps of one scene. */
#define HOUSE_DEVICES_MAX    4096
#define HOUSE_SPELLINGS_MAX  8
#define HOUSE_OPERATIONS_MAX 64

struct house_id;
struct json_t;

struct house {
    struct json_t *json;    /* owned; names and rooms point into it */
    struct device *devices; /* owned */
    size_t n_devices;
    struct house_id *ids; /* owned; the keys of `by_id` */
    size_t n_ids;
    struct map by_id;
    const char *version;
    char pbx_users[256]; /* separated by commas */
};

/* Reads a file. ERROR_CONFIG with a sentence that names file, device and reason; ERROR_NOMEM.
 * On failure nothing is left to close. */
int house_read(const char *path, struct house *h, struct error_text *e);

/* As house_read from memory; `name` stands for the file. */
int house_parse(const char *name, struct span text, struct house *h, struct error_text *e);

void house_close(struct house *h);

/* The device of that class with that GUID, or NULL. */
struct device *house_find(const struct house *h, enum controller_class device_class,
                          struct span guid);

/* True if a device of any class has that GUID. */
bool house_has(const struct house *h, struct span guid);

#endif
