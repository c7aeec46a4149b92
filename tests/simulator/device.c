/* SPDX-License-Identifier: Apache-2.0 */
/* One device and its state as a function of time. */
#include "tests/simulator/device.h"

#include <string.h>

#define ROOM_TEMPERATURE 21
#define PERCENT_MAX      100

void device_init(struct device *d, enum controller_class device_class)
{
    memset(d, 0, sizeof *d);
    d->device_class = device_class;
    d->name = "";
    d->room = "";
    for (size_t i = 0; i < CONTROLLER_N_OBJECTS; i++) {
        number_set(&d->state[i], 0);
    }
    number_set(&d->state[CONTROLLER_OBJECT_TEMPERATURE], ROOM_TEMPERATURE);
    number_set(&d->state[CONTROLLER_OBJECT_SETPOINT], ROOM_TEMPERATURE);
}

static void travel(struct device *d, int32_t to, uint64_t now_ms)
{
    d->travels = d->travel_ms > 0;
    d->travel_from = (int32_t)d->state[CONTROLLER_OBJECT_HEIGHT].value;
    d->travel_to = to;
    d->travel_since_ms = now_ms;
    if (!d->travels) {
        number_set(&d->state[CONTROLLER_OBJECT_HEIGHT], to);
    }
}

/* Writes the height that a travelling blind has reached. The whole way takes travel_ms. */
static void follow_travel(struct device *d, uint64_t now_ms)
{
    int64_t way = 0;
    int64_t left = d->travel_to - d->travel_from;

    if (!d->travels) {
        return;
    }
    way = (int64_t)((now_ms - d->travel_since_ms) * PERCENT_MAX / d->travel_ms);
    if (way >= (left < 0 ? -left : left)) {
        way = left < 0 ? -left : left;
        d->travels = false;
    }
    number_set(&d->state[CONTROLLER_OBJECT_HEIGHT],
               d->travel_from + (int32_t)(left < 0 ? -way : way));
}

static void step(struct device *d, bool counter_clockwise)
{
    int32_t angle = (int32_t)d->state[CONTROLLER_OBJECT_ANGLE].value;

    angle += counter_clockwise ? -DEVICE_STEP : DEVICE_STEP;
    angle = angle < 0 ? 0 : angle;
    number_set(&d->state[CONTROLLER_OBJECT_ANGLE], angle > PERCENT_MAX ? PERCENT_MAX : angle);
}

static void set_power(struct device *d, bool on)
{
    struct number *level = &d->state[CONTROLLER_OBJECT_LEVEL];

    number_set(&d->state[CONTROLLER_OBJECT_POWER], on);
    if (!on) {
        number_set(level, 0);
    } else if (level->value <= 0) {
        number_set(level, PERCENT_MAX);
    }
}

/* What a command does to the state. The other objects simply take the value. */
static void change(struct device *d, enum controller_object object, const struct number *n,
                   uint64_t now_ms)
{
    follow_travel(d, now_ms);
    if (object == CONTROLLER_OBJECT_MOVEMENT) {
        travel(d, n->value > 0 ? PERCENT_MAX : 0, now_ms);
    } else if (object == CONTROLLER_OBJECT_STEP) {
        step(d, n->value > 0);
    } else if (object == CONTROLLER_OBJECT_POWER) {
        set_power(d, n->value > 0);
    } else if (object == CONTROLLER_OBJECT_TRIGGER) {
        number_set(&d->state[object], (int32_t)d->state[object].value + 1);
    } else {
        d->state[object] = *n;
    }
    if (object == CONTROLLER_OBJECT_LEVEL) {
        number_set(&d->state[CONTROLLER_OBJECT_POWER], n->value > 0);
    }
    if (object == CONTROLLER_OBJECT_STOP || object == CONTROLLER_OBJECT_HEIGHT) {
        d->travels = false;
    }
}

static void drop_change(struct device *d, size_t i)
{
    d->n_changes--;
    memmove(&d->changes[i], &d->changes[i + 1], (d->n_changes - i) * sizeof d->changes[0]);
}

static void take_change(struct device *d, uint64_t now_ms)
{
    struct device_change first = d->changes[0];

    drop_change(d, 0);
    change(d, first.object, &first.number, first.due_ms < now_ms ? first.due_ms : now_ms);
}

static void settle(struct device *d, uint64_t now_ms)
{
    while (d->n_changes > 0 && d->changes[0].due_ms <= now_ms) {
        take_change(d, now_ms);
    }
    follow_travel(d, now_ms);
}

/* The object that stands for a part of a device: commands on one part overrule each other. */
static enum controller_object part_of(enum controller_object object)
{
    if (object == CONTROLLER_OBJECT_LEVEL) {
        return CONTROLLER_OBJECT_POWER;
    }
    if (object == CONTROLLER_OBJECT_MOVEMENT || object == CONTROLLER_OBJECT_STOP) {
        return CONTROLLER_OBJECT_HEIGHT;
    }
    return object == CONTROLLER_OBJECT_STEP ? CONTROLLER_OBJECT_ANGLE : object;
}

void device_set(struct device *d, enum controller_object object, const struct number *n,
                uint64_t now_ms)
{
    settle(d, now_ms);
    for (size_t i = d->n_changes; i > 0; i--) {
        if (part_of(d->changes[i - 1].object) == part_of(object)) {
            drop_change(d, i - 1);
        }
    }
    change(d, object, n, now_ms);
}

void device_set_later(struct device *d, enum controller_object object, const struct number *n,
                      uint64_t now_ms, uint64_t due_ms)
{
    size_t at = 0;

    settle(d, now_ms);
    if (d->n_changes == DEVICE_CHANGES_MAX) {
        take_change(d, now_ms);
    }
    at = d->n_changes;
    while (at > 0 && d->changes[at - 1].due_ms > due_ms) {
        at--;
    }
    memmove(&d->changes[at + 1], &d->changes[at], (d->n_changes - at) * sizeof d->changes[0]);
    d->changes[at] = (struct device_change){.object = object, .number = *n, .due_ms = due_ms};
    d->n_changes++;
}

const struct number *device_status(struct device *d, enum controller_object object, uint64_t now_ms)
{
    settle(d, now_ms);
    return &d->state[object];
}

uint32_t device_comm_obj(const struct device *d, const struct controller *c)
{
    return d->number * (uint32_t)controller_count() + (uint32_t)controller_index(c) + 1;
}
