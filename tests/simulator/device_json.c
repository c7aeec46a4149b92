/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and steps of scenes, read from JSON. */
#include "tests/simulator/device_json.h"

#include <stdio.h>
#include <string.h>

/* Longest delay, journey or pause: ten minutes. */
#define MS_MAX 600000

struct state_key {
    const char *key;
    enum controller_object object;
};

static const struct state_key STATE_KEYS[] = {
    {"power", CONTROLLER_OBJECT_POWER},       {"level", CONTROLLER_OBJECT_LEVEL},
    {"height", CONTROLLER_OBJECT_HEIGHT},     {"angle", CONTROLLER_OBJECT_ANGLE},
    {"value", CONTROLLER_OBJECT_VALUE},       {"temperature", CONTROLLER_OBJECT_TEMPERATURE},
    {"setpoint", CONTROLLER_OBJECT_SETPOINT}, {"mode", CONTROLLER_OBJECT_MODE},
    {"chrono", CONTROLLER_OBJECT_CHRONO},     {"fan", CONTROLLER_OBJECT_FAN},
};

bool device_json_guid_ok(const char *text)
{
    static const char ALLOWED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_-.{}";
    size_t len = strlen(text);

    return len > 0 && len < DEVICE_GUID_BYTES && strspn(text, ALLOWED) == len;
}

/* The controller of that class, object and role, or NULL. */
static const struct controller *controller_of(enum controller_class device_class,
                                              enum controller_object object,
                                              enum controller_role role)
{
    for (size_t i = 0; i < controller_count(); i++) {
        const struct controller *c = controller_at(i);
        if (c->device_class == device_class && c->object == object && c->role == role) {
            return c;
        }
    }
    return NULL;
}

/* A number, or a string that holds one. */
static int read_number(const json_t *value, enum controller_kind kind, struct number *n)
{
    char text[64];

    if (json_is_string(value)) {
        (void)snprintf(text, sizeof text, "%s", json_string_value(value)); /* cut = refused */
    } else if (json_is_integer(value)) {
        (void)snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        (void)snprintf(text, sizeof text, "%.15g", json_real_value(value));
    } else {
        return ERROR_SYNTAX;
    }
    return kind == CONTROLLER_KIND_DECIMAL ? number_parse_decimal(span_of(text), n)
                                           : number_parse_integer(span_of(text), n);
}

static int read_text(const json_t *value, const char *key, const char **text,
                     struct error_text *reason)
{
    if (!json_is_string(value)) {
        return error_set(reason, ERROR_CONFIG, "\"%s\" must be a string", key);
    }
    *text = json_string_value(value);
    return 0;
}

static int read_bool(const json_t *value, const char *key, bool *flag, struct error_text *reason)
{
    if (!json_is_boolean(value)) {
        return error_set(reason, ERROR_CONFIG, "\"%s\" must be true or false", key);
    }
    *flag = json_is_true(value);
    return 0;
}

static int read_ms(const json_t *value, const char *key, uint32_t *ms, struct error_text *reason)
{
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;

    if (number < 0 || number > MS_MAX) {
        return error_set(reason, ERROR_CONFIG, "\"%s\" must be a number from 0 to %d", key, MS_MAX);
    }
    *ms = (uint32_t)number;
    return 0;
}

static int read_bound(const json_t *value, const char *key, double *bound,
                      struct error_text *reason)
{
    if (!json_is_number(value)) {
        return error_set(reason, ERROR_CONFIG, "\"%s\" must be a number", key);
    }
    *bound = json_number_value(value);
    return 0;
}

/* The first value of a part of the device, within the range of the command that sets it. */
static int read_state(struct device *d, const struct state_key *k, const json_t *value,
                      struct error_text *reason)
{
    const struct controller *get = controller_of(d->device_class, k->object, CONTROLLER_GET);
    const struct controller *set = controller_of(d->device_class, k->object, CONTROLLER_SET);
    struct number n;

    if (get == NULL) {
        return error_set(reason, ERROR_CONFIG, "a %s has no \"%s\"",
                         controller_class_name(d->device_class), k->key);
    }
    if (read_number(value, get->status, &n) != 0 ||
        (set != NULL && !number_within(&n, set->min, set->max))) {
        return error_set(reason, ERROR_CONFIG, "\"%s\" is no number, or out of range", k->key);
    }
    device_set(d, k->object, &n, 0);
    return 0;
}

/* True for what belongs to this class and is read here; `*rc` then says how that went. */
static bool read_own_key(struct device *d, const char *key, const json_t *value,
                         struct error_text *reason, int *rc)
{
    enum controller_class c = d->device_class;

    if (strcmp(key, "name") == 0) {
        *rc = read_text(value, key, &d->name, reason);
    } else if (strcmp(key, "room") == 0) {
        *rc = read_text(value, key, &d->room, reason);
    } else if (strcmp(key, "delay_ms") == 0) {
        d->has_delay = true;
        *rc = read_ms(value, key, &d->delay_ms, reason);
    } else if (c == CONTROLLER_CLASS_LIGHT && strcmp(key, "dimmable") == 0) {
        *rc = read_bool(value, key, &d->dimmable, reason);
    } else if (c == CONTROLLER_CLASS_BLIND && strcmp(key, "travel_ms") == 0) {
        *rc = read_ms(value, key, &d->travel_ms, reason);
    } else if (c == CONTROLLER_CLASS_ANALOG && strcmp(key, "min") == 0) {
        *rc = read_bound(value, key, &d->min, reason);
    } else if (c == CONTROLLER_CLASS_ANALOG && strcmp(key, "max") == 0) {
        *rc = read_bound(value, key, &d->max, reason);
    } else {
        return false;
    }
    return true;
}

/* True for what the house reads: class and GUIDs, and the steps once all devices are known. */
static bool is_read_elsewhere(const struct device *d, const char *key)
{
    bool runs =
        d->device_class == CONTROLLER_CLASS_SCENE || d->device_class == CONTROLLER_CLASS_BUTTON;

    return strcmp(key, "class") == 0 || strcmp(key, "guid") == 0 || strcmp(key, "aliases") == 0 ||
           (runs && strcmp(key, "operations") == 0);
}

static int read_key(struct device *d, const char *key, const json_t *value,
                    struct error_text *reason)
{
    int rc = 0;

    if (is_read_elsewhere(d, key) || read_own_key(d, key, value, reason, &rc)) {
        return rc;
    }
    for (size_t i = 0; i < sizeof STATE_KEYS / sizeof STATE_KEYS[0]; i++) {
        if (strcmp(key, STATE_KEYS[i].key) == 0) {
            return read_state(d, &STATE_KEYS[i], value, reason);
        }
    }
    return error_set(reason, ERROR_CONFIG, "unknown key \"%.64s\" for a %s", key,
                     controller_class_name(d->device_class));
}

static int read_identity(const json_t *object, struct device *d, struct error_text *reason)
{
    const char *class_name = json_string_value(json_object_get(object, "class"));
    const char *guid = json_string_value(json_object_get(object, "guid"));
    enum controller_class device_class;

    if (class_name == NULL || guid == NULL) {
        return error_set(reason, ERROR_CONFIG, "\"%s\" is missing, or is no string",
                         class_name == NULL ? "class" : "guid");
    }
    if (controller_class_parse(span_of(class_name), &device_class) != 0 ||
        device_class == CONTROLLER_CLASS_SYSTEM) {
        return error_set(reason, ERROR_CONFIG, "there is no class \"%.64s\"", class_name);
    }
    if (!device_json_guid_ok(guid)) {
        return error_set(reason, ERROR_CONFIG, "\"%.80s\" is no GUID", guid);
    }
    device_init(d, device_class);
    (void)snprintf(d->guid, sizeof d->guid, "%s", guid); /* fits: checked */
    return 0;
}

int device_json_read(json_t *object, struct device *d, struct error_text *reason)
{
    const struct controller *setvalue = controller_find(span_of("setvalue"));
    const char *key = NULL;
    json_t *value = NULL;
    int rc = read_identity(object, d, reason);

    d->min = setvalue->min;
    d->max = setvalue->max;
    json_object_foreach(object, key, value)
    {
        if (rc == 0) {
            rc = read_key(d, key, value, reason);
        }
    }
    if (rc == 0 && d->device_class == CONTROLLER_CLASS_ANALOG &&
        !number_within(&d->state[CONTROLLER_OBJECT_VALUE], d->min, d->max)) {
        rc = error_set(reason, ERROR_CONFIG, "\"value\" is not between \"min\" and \"max\"");
    }
    return rc;
}

/* A scene may neither launch scenes nor press buttons: it could start itself. */
static bool may_be_a_step(const struct controller *c)
{
    return c->role == CONTROLLER_SET && c->device_class != CONTROLLER_CLASS_SCENE &&
           c->device_class != CONTROLLER_CLASS_BUTTON;
}

static int read_step_target(const json_t *object, struct operation *o, const char **guid,
                            struct error_text *reason)
{
    bool to_device = o->controller->target == CONTROLLER_TARGET_GUID;
    const char *key = to_device ? "guid" : "group";
    const char *text = json_string_value(json_object_get(object, key));

    if (text == NULL || (!to_device && !group_ok(span_of(text)))) {
        return error_set(reason, ERROR_CONFIG, "%s needs a \"%s\"", o->controller->name, key);
    }
    if (!to_device) {
        (void)snprintf(o->group, sizeof o->group, "%s", text); /* fits: group_ok */
    }
    *guid = to_device ? text : NULL;
    return 0;
}

int device_json_read_operation(const json_t *object, struct operation *o, const char **guid,
                               struct error_text *reason)
{
    const char *name = json_string_value(json_object_get(object, "controller"));
    const json_t *pause = json_object_get(object, "pause_ms");
    const struct controller *c = name == NULL ? NULL : controller_find(span_of(name));
    int rc = 0;

    memset(o, 0, sizeof *o);
    if (c == NULL || !may_be_a_step(c)) {
        return error_set(reason, ERROR_CONFIG, "\"controller\" must name a command to a device");
    }
    o->controller = c;
    rc = read_step_target(object, o, guid, reason);
    if (rc == 0 && (read_number(json_object_get(object, "value"), c->kind, &o->number) != 0 ||
                    !number_within(&o->number, c->min, c->max))) {
        rc = error_set(reason, ERROR_CONFIG, "\"value\" is missing, or out of range for %s", name);
    }
    if (rc == 0 && pause != NULL) {
        rc = read_ms(pause, "pause_ms", &o->pause_ms, reason);
    }
    return rc;
}
