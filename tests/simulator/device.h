/* SPDX-License-Identifier: Apache-2.0 */
/* One device of the building and its state, as a function of time: the caller says what time it
 * is (milliseconds, monotonic), and nothing here runs on its own.
 *
 * How the parts of a device hang together:
 * - light: switched on, a level of 0 becomes 100; switched off, the level is 0; a level above 0
 *   means on.
 * - blind: "updown" 0 drives to height 0, 1 to height 100, at once or over `travel_ms`; "stop"
 *   keeps the height reached; "blindstep" 0 adds DEVICE_STEP to the angle, 1 takes it away.
 * - button: "trigger" is counted. */
#ifndef TESTS_SIMULATOR_DEVICE_H
#define TESTS_SIMULATOR_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/http/controller.h"
#include "tests/simulator/number.h"

/* Longest GUID, with NUL. */
#define DEVICE_GUID_BYTES 65

/* Percent by which "blindstep" turns the lamellas. */
#define DEVICE_STEP 10

/* Most changes of one device that wait for its feedback. The oldest takes effect early beyond. */
#define DEVICE_CHANGES_MAX 32

struct alarm;
struct bus;
struct operation;

/* A command that the device has not confirmed yet. */
struct device_change {
    enum controller_object object;
    struct number number;
    uint64_t due_ms;
};

struct device {
    enum controller_class device_class;
    char guid[DEVICE_GUID_BYTES]; /* the first of its spellings */
    const char *name;             /* owned by the house */
    const char *room;             /* owned by the house; "" without one */
    uint32_t number;              /* place in the house, from 0 */
    bool dimmable;
    bool has_delay; /* else the default of the simulator counts */
    uint32_t delay_ms;
    uint32_t travel_ms;
    double min; /* of an analog value */
    double max;

    struct number state[CONTROLLER_N_OBJECTS];
    struct device_change changes[DEVICE_CHANGES_MAX]; /* by due_ms */
    size_t n_changes;
    bool travels; /* between travel_from and travel_to since travel_since_ms */
    int32_t travel_from;
    int32_t travel_to;
    uint64_t travel_since_ms;

    struct operation *operations; /* scene and button: owned by the house */
    size_t n_operations;
    size_t next_operation; /* while it runs; the bus keeps this and the rest up to date */
    struct alarm *pause;   /* until the next operation; NULL when it does not run */
    struct bus *bus;
    uint64_t request; /* number of the request that launched it */
};

/* A device of that class with everything at 0 (temperatures at 21). */
void device_init(struct device *d, enum controller_class device_class);

/* Changes the device at once. What still waited for feedback on the same part is forgotten. */
void device_set(struct device *d, enum controller_object object, const struct number *n,
                uint64_t now_ms);

/* Changes the device at `due_ms`, when it will have confirmed the command. */
void device_set_later(struct device *d, enum controller_object object, const struct number *n,
                      uint64_t now_ms, uint64_t due_ms);

/* The state now; valid until the next call for this device. */
const struct number *device_status(struct device *d, enum controller_object object,
                                   uint64_t now_ms);

/* Number of the communication object behind a controller: the same in every run with the same
 * house, different for each device and controller. */
uint32_t device_comm_obj(const struct device *d, const struct controller *c);

#endif
