/* SPDX-License-Identifier: Apache-2.0 */
/* Importing what stands in a building: a tree of rooms and devices as the simulator's --devices
 * file has it. What is known of a device is kept, the rest (the simulator's states and delays) is
 * left out. */
#include <stdlib.h>
#include <string.h>

#include "proto/http/controller.h"
#include "relay/admin/api_internal.h"
#include "proto/json/json_text.h"
#include "relay/store/devices.h"

/* Rooms, devices in all, and bytes of a name or a GUID (without NUL). */
#define ROOMS_MAX   1000
#define DEVICES_MAX 10000
#define NAME_BYTES  128
#define GUID_BYTES  64

static bool is_text(const json_t *value, size_t max)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (text == NULL || len == 0 || len > max) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* A GUID goes into URLs as it is. */
static bool is_guid(const json_t *value)
{
    static const char ALLOWED[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.{}";
    return is_text(value, GUID_BYTES) &&
           strspn(json_string_value(value), ALLOWED) == json_string_length(value);
}

/* What is kept of it, or NULL with a sentence. */
static json_t *take_device(const json_t *given, struct error_text *e)
{
    static const char *const OPTIONAL[] = {"dimmable", "min", "max"};
    const json_t *name = json_object_get(given, "name");
    const json_t *guid = json_object_get(given, "guid");
    enum controller_class device_class = CONTROLLER_CLASS_SYSTEM;
    const char *class_name = json_string_value(json_object_get(given, "class"));

    if (controller_class_parse(span_of(class_name), &device_class) != 0 ||
        device_class == CONTROLLER_CLASS_SYSTEM) {
        (void)error_set(e, ERROR_CONFIG,
                        "each device needs a \"class\": light, blind, analog, thermostat, hvac, "
                        "scene or button");
        return NULL;
    }
    if (!is_guid(guid) || (name != NULL && !is_text(name, NAME_BYTES))) {
        (void)error_set(e, ERROR_CONFIG,
                        "each device needs a \"guid\" of at most %d letters, digits and _-.{}, and "
                        "may have a \"name\" of at most %d bytes",
                        GUID_BYTES, NAME_BYTES);
        return NULL;
    }
    json_t *kept =
        json_pack("{s:s, s:s, s:s}", "class", class_name, "guid", json_string_value(guid), "name",
                  name != NULL ? json_string_value(name) : json_string_value(guid));
    for (size_t i = 0; i < sizeof(OPTIONAL) / sizeof(OPTIONAL[0]); i++) {
        json_t *value = json_object_get(given, OPTIONAL[i]);
        if (json_is_boolean(value) || json_is_number(value)) {
            (void)json_object_set(kept, OPTIONAL[i], value);
        }
    }
    return kept;
}

/* A room's devices, kept in `to`; `*n` counts them all. */
static int take_devices(const json_t *given, json_t *to, size_t *n, struct error_text *e)
{
    size_t i = 0;
    const json_t *device = NULL;

    if (!json_is_array(given)) {
        return error_set(e, ERROR_CONFIG, "each room needs an array \"devices\"");
    }
    for (i = 0; i < json_array_size(given); i++) {
        device = json_array_get(given, i);
        json_t *kept = take_device(device, e);
        if (kept == NULL) {
            return ERROR_CONFIG;
        }
        (void)json_array_append_new(to, kept);
        if (++*n > DEVICES_MAX) {
            return error_set(e, ERROR_CONFIG, "at most %d devices", DEVICES_MAX);
        }
    }
    return 0;
}

static int take_rooms(const json_t *given, json_t *to, size_t *n, struct error_text *e)
{
    if (!json_is_array(given) || json_array_size(given) > ROOMS_MAX) {
        return error_set(e, ERROR_CONFIG, "\"rooms\" must be an array of at most %d", ROOMS_MAX);
    }
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *room = json_array_get(given, i);
        const json_t *name = json_object_get(room, "name");
        if (!is_text(name, NAME_BYTES)) {
            return error_set(e, ERROR_CONFIG, "each room needs a \"name\" of at most %d bytes",
                             NAME_BYTES);
        }
        json_t *devices = json_array();
        (void)json_array_append_new(
            to, json_pack("{s:s, s:o}", "name", json_string_value(name), "devices", devices));
        int rc = take_devices(json_object_get(room, "devices"), devices, n, e);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

void api_import_devices(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    json_t *rooms = json_array();
    size_t n = 0;
    int rc = take_rooms(json_object_get(c->body, "rooms"), rooms, &n, &e);

    if (rc == 0) {
        json_t *kept = json_pack("{s:O}", "rooms", rooms);
        char *text = kept != NULL ? json_text_format(kept, JSON_COMPACT) : NULL;
        rc = text == NULL ? ERROR_NOMEM
                          : devices_set(db, c->object, span_of(text), n, &c->actor, &e);
        free(text);
        json_decref(kept);
    }
    json_decref(rooms);
    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    api_answer(c, 200, json_pack("{s:s, s:I}", "serial", c->object, "devices", (json_int_t)n));
}
