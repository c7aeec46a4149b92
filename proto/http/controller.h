/* SPDX-License-Identifier: Apache-2.0 */
/* The 37 controllers of the Thinknx API as a table: what each is called, which devices have it,
 * which parameters it takes and what its answer holds. The one place where they are written down.
 *
 * Names are matched case-sensitively: the vendor writes every controller in one case only
 * ("powerstatus", "system/sendKNX4bits"); only the "V1" in front of it occurs in two. */
#ifndef PROTO_HTTP_CONTROLLER_H
#define PROTO_HTTP_CONTROLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/span.h"

enum controller_class {
    CONTROLLER_CLASS_LIGHT,
    CONTROLLER_CLASS_BLIND,
    CONTROLLER_CLASS_ANALOG,
    CONTROLLER_CLASS_THERMOSTAT,
    CONTROLLER_CLASS_HVAC,
    CONTROLLER_CLASS_SCENE,
    CONTROLLER_CLASS_BUTTON,
    CONTROLLER_CLASS_SYSTEM /* the server itself and the bus: no device */
};
#define CONTROLLER_N_CLASSES 8

enum controller_role {
    CONTROLLER_SET, /* a command: it changes the building */
    CONTROLLER_GET  /* reads only */
};

/* What a call is aimed at, and so which parameter names it. */
enum controller_target {
    CONTROLLER_TARGET_GUID,  /* a device: parameter "guid" */
    CONTROLLER_TARGET_GROUP, /* a KNX group address: parameter "group" */
    CONTROLLER_TARGET_NONE
};

/* Which parameter carries the value of a command. */
enum controller_param {
    CONTROLLER_PARAM_NONE, /* a GET; and "trigger", whose "cmd" may be sent and is ignored */
    CONTROLLER_PARAM_CMD,
    CONTROLLER_PARAM_VAL,  /* "heightlevel" alone */
    CONTROLLER_PARAM_VALUE /* the KNX telegrams */
};

enum controller_kind {
    CONTROLLER_KIND_NONE,
    CONTROLLER_KIND_INTEGER,
    CONTROLLER_KIND_DECIMAL, /* '.' separates the decimals */
    CONTROLLER_KIND_SERVER   /* of a status only: the six fields of system/serverStatus */
};

/* The part of a device that a controller acts upon. A command and the status call that reads it
 * back have class and object in common. */
enum controller_object {
    CONTROLLER_OBJECT_POWER,
    CONTROLLER_OBJECT_LEVEL,
    CONTROLLER_OBJECT_MOVEMENT, /* up, down */
    CONTROLLER_OBJECT_STOP,
    CONTROLLER_OBJECT_HEIGHT,
    CONTROLLER_OBJECT_STEP,
    CONTROLLER_OBJECT_ANGLE,
    CONTROLLER_OBJECT_VALUE,
    CONTROLLER_OBJECT_TEMPERATURE,
    CONTROLLER_OBJECT_SETPOINT,
    CONTROLLER_OBJECT_MODE,
    CONTROLLER_OBJECT_CHRONO,
    CONTROLLER_OBJECT_FAN,
    CONTROLLER_OBJECT_LAUNCH,
    CONTROLLER_OBJECT_TRIGGER,
    CONTROLLER_OBJECT_TELEGRAM, /* of the bus */
    CONTROLLER_OBJECT_SERVER
};
#define CONTROLLER_N_OBJECTS 17

struct controller {
    const char *name; /* as after "/api/v1/": "power", "system/sendKNXbit" */
    uint8_t name_len;
    enum controller_class device_class;
    enum controller_object object;
    enum controller_role role;
    enum controller_target target;
    enum controller_param param;
    enum controller_kind kind; /* of the parameter's value */
    double min;                /* of the parameter's value, both included; 0 and 0 without one */
    double max;
    const char *title;          /* for people: "Switch on or off" */
    const char *const *choices; /* names of the values min, min + 1 … max; NULL = plain numbers */
    bool takes_fb;              /* with "fb" the answer waits for the device and has a status */
    bool needs_dimmable;        /* not every light has it */
    enum controller_kind status; /* of "status": with fb (SET), always (GET) */
};

/* The controller of that name (see above: exact), or NULL. Never allocates; static storage. */
const struct controller *controller_find(struct span name);

/* The table in the order of the vendor's document. `i` < controller_count(). */
size_t controller_count(void);
const struct controller *controller_at(size_t i);

/* Place of `c` in the table. */
size_t controller_index(const struct controller *c);

/* "light", "blind", "analog", "thermostat", "hvac", "scene", "button", "system". */
const char *controller_class_name(enum controller_class device_class);

/* The reverse. 0 or ERROR_NOT_FOUND. */
int controller_class_parse(struct span name, enum controller_class *device_class);

/* "cmd", "val", "value"; NULL for CONTROLLER_PARAM_NONE. */
const char *controller_param_name(enum controller_param param);

#endif
