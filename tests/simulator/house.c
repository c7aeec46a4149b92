/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of the building.
 *
 * Read in two rounds, because a scene may name a device that stands behind it: first all devices
 * with their GUIDs, then the steps of scenes and buttons. */
#include "tests/simulator/house.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulator/device_json.h"
#include "tests/simulator/operation.h"

#define DEFAULT_VERSION "01.00.00.00"

/* A spelling of a device's GUID, behind the letter of its class. */
#define ID_BYTES (1 + DEVICE_GUID_BYTES)
struct house_id {
    char key[ID_BYTES];
};

static size_t format_id(char key[ID_BYTES], enum controller_class device_class, struct span guid)
{
    if (guid.len >= DEVICE_GUID_BYTES) {
        return 0;
    }
    key[0] = (char)('a' + (int)device_class);
    if (guid.len > 0) {
        memcpy(key + 1, guid.p, guid.len);
    }
    return 1 + guid.len;
}

static int add_id(struct house *h, struct device *d, const char *guid, struct error_text *reason)
{
    char *key = h->ids[h->n_ids].key;
    size_t len = format_id(key, d->device_class, span_of(guid));
    int rc = map_put(&h->by_id, key, len, d);

    if (rc == ERROR_EXISTS) {
        return error_set(reason, ERROR_CONFIG, "there is a %s \"%s\" already",
                         controller_class_name(d->device_class), guid);
    }
    h->n_ids += rc == 0;
    return rc;
}

static int add_ids(struct house *h, struct device *d, const json_t *aliases,
                   struct error_text *reason)
{
    size_t n = json_array_size(aliases);
    int rc = add_id(h, d, d->guid, reason);

    if (rc == 0 && aliases != NULL && (!json_is_array(aliases) || n >= HOUSE_SPELLINGS_MAX)) {
        rc = error_set(reason, ERROR_CONFIG, "\"aliases\" must be a list of at most %d strings",
                       HOUSE_SPELLINGS_MAX - 1);
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *guid = json_string_value(json_array_get(aliases, i));
        rc = guid == NULL || !device_json_guid_ok(guid)
                 ? error_set(reason, ERROR_CONFIG, "one of \"aliases\" is no GUID")
                 : add_id(h, d, guid, reason);
    }
    return rc;
}

static int read_operation(struct house *h, const json_t *object, struct operation *o,
                          struct error_text *reason)
{
    const char *guid = NULL;
    int rc = device_json_read_operation(object, o, &guid, reason);

    if (rc == 0 && guid != NULL) {
        o->device = house_find(h, o->controller->device_class, span_of(guid));
        if (o->device == NULL || (o->controller->needs_dimmable && !o->device->dimmable)) {
            rc = error_set(reason, ERROR_CONFIG, "no device \"%.64s\" takes %s", guid,
                           o->controller->name);
        }
    }
    return rc;
}

static int read_operations(struct house *h, struct device *d, const json_t *list,
                           struct error_text *reason)
{
    size_t n = json_array_size(list);

    if (list == NULL) {
        return 0;
    }
    if (!json_is_array(list) || n > HOUSE_OPERATIONS_MAX) {
        return error_set(reason, ERROR_CONFIG, "\"operations\" must be a list of at most %d",
                         HOUSE_OPERATIONS_MAX);
    }
    d->operations = calloc(n == 0 ? 1 : n, sizeof *d->operations);
    if (d->operations == NULL) {
        return ERROR_NOMEM;
    }
    for (; d->n_operations < n; d->n_operations++) {
        struct error_text step = {""};
        int rc = read_operation(h, json_array_get(list, d->n_operations),
                                &d->operations[d->n_operations], &step);
        if (rc != 0) {
            return error_set(reason, rc, "operation %zu: %.400s", d->n_operations + 1, step.text);
        }
    }
    return 0;
}

/* What is done with each device of a file, in each of the two rounds. */
typedef int (*visit_callback)(struct house *h, json_t *object, struct device *d,
                              struct error_text *reason);

static int visit_first(struct house *h, json_t *object, struct device *d, struct error_text *reason)
{
    int rc = device_json_read(object, d, reason);

    d->number = (uint32_t)(d - h->devices);
    return rc != 0 ? rc : add_ids(h, d, json_object_get(object, "aliases"), reason);
}

static int visit_second(struct house *h, json_t *object, struct device *d,
                        struct error_text *reason)
{
    return read_operations(h, d, json_object_get(object, "operations"), reason);
}

/* Visits the devices of one list; `room` is NULL outside of rooms, `*i` counts over all lists. */
static int visit_list(struct house *h, json_t *list, const char *room, visit_callback visit,
                      size_t *i, struct error_text *reason)
{
    json_t *object = NULL;
    size_t at = 0;

    json_array_foreach(list, at, object)
    {
        struct error_text why = {""};
        struct device *d = &h->devices[*i];
        int rc = visit(h, object, d, &why);
        if (rc != 0) {
            return error_set(reason, rc, "device %zu: %.400s", *i + 1, why.text);
        }
        if (room != NULL) {
            d->room = room;
        }
        (*i)++;
    }
    return 0;
}

static int visit_all(struct house *h, visit_callback visit, struct error_text *reason)
{
    json_t *room = NULL;
    size_t at = 0;
    size_t i = 0;
    int rc = 0;

    json_array_foreach(json_object_get(h->json, "rooms"), at, room)
    {
        if (rc == 0) {
            rc = visit_list(h, json_object_get(room, "devices"),
                            json_string_value(json_object_get(room, "name")), visit, &i, reason);
        }
    }
    return rc != 0 ? rc
                   : visit_list(h, json_object_get(h->json, "devices"), NULL, visit, &i, reason);
}

/* Checks the lists and counts what is in them. */
static int count_devices(struct house *h, size_t *n, struct error_text *reason)
{
    json_t *rooms = json_object_get(h->json, "rooms");
    json_t *devices = json_object_get(h->json, "devices");
    json_t *room = NULL;
    size_t at = 0;

    if (rooms == NULL && devices == NULL) {
        return error_set(reason, ERROR_CONFIG, "there is neither \"rooms\" nor \"devices\"");
    }
    if ((rooms != NULL && !json_is_array(rooms)) || (devices != NULL && !json_is_array(devices))) {
        return error_set(reason, ERROR_CONFIG, "\"rooms\" and \"devices\" must be lists");
    }
    *n = json_array_size(devices);
    json_array_foreach(rooms, at, room)
    {
        if (!json_is_string(json_object_get(room, "name")) ||
            !json_is_array(json_object_get(room, "devices"))) {
            return error_set(reason, ERROR_CONFIG,
                             "room %zu: \"name\" (a string) or \"devices\" (a list) is missing",
                             at + 1);
        }
        *n += json_array_size(json_object_get(room, "devices"));
    }
    return *n <= HOUSE_DEVICES_MAX ? 0
                                   : error_set(reason, ERROR_CONFIG,
                                               "there are more than %d devices", HOUSE_DEVICES_MAX);
}

static int read_pbx_users(struct house *h, struct error_text *reason)
{
    json_t *user = NULL;
    size_t at = 0;
    size_t len = 0;

    json_array_foreach(json_object_get(h->json, "pbx_users"), at, user)
    {
        const char *text = json_string_value(user);
        int n = text == NULL ? -1
                             : snprintf(h->pbx_users + len, sizeof h->pbx_users - len, "%s%s",
                                        at == 0 ? "" : ",", text);
        if (n < 0 || (size_t)n >= sizeof h->pbx_users - len) {
            return error_set(reason, ERROR_CONFIG,
                             "\"pbx_users\" must be a short list of short strings");
        }
        len += (size_t)n;
    }
    return 0;
}

static int check_keys(struct house *h, struct error_text *reason)
{
    const json_t *version = json_object_get(h->json, "version");
    const char *key = NULL;
    json_t *value = NULL;

    json_object_foreach(h->json, key, value)
    {
        if (strcmp(key, "version") != 0 && strcmp(key, "pbx_users") != 0 &&
            strcmp(key, "rooms") != 0 && strcmp(key, "devices") != 0) {
            return error_set(reason, ERROR_CONFIG, "unknown key \"%.64s\"", key);
        }
    }
    if (version != NULL && !json_is_string(version)) {
        return error_set(reason, ERROR_CONFIG, "\"version\" must be a string");
    }
    h->version = version == NULL ? DEFAULT_VERSION : json_string_value(version);
    return read_pbx_users(h, reason);
}

static int read_devices(struct house *h, struct error_text *reason)
{
    size_t n = 0;
    int rc = check_keys(h, reason);

    if (rc == 0) {
        rc = count_devices(h, &n, reason);
    }
    if (rc != 0) {
        return rc;
    }
    h->devices = calloc(n + 1, sizeof *h->devices);
    h->ids = calloc(n * HOUSE_SPELLINGS_MAX + 1, sizeof *h->ids);
    if (h->devices == NULL || h->ids == NULL) {
        return ERROR_NOMEM;
    }
    h->n_devices = n;
    rc = visit_all(h, visit_first, reason);
    return rc != 0 ? rc : visit_all(h, visit_second, reason);
}

/* Takes `json`, which is NULL after a syntax error that `why` explains. */
static int read_json(const char *name, json_t *json, const json_error_t *why, struct house *h,
                     struct error_text *e)
{
    struct error_text reason = {""};
    int rc = 0;

    memset(h, 0, sizeof *h);
    map_init(&h->by_id, (size_t)HOUSE_DEVICES_MAX * HOUSE_SPELLINGS_MAX);
    if (json == NULL) {
        return error_set(e, ERROR_CONFIG, "%s:%d: %s", name, why->line, why->text);
    }
    h->json = json;
    rc = json_is_object(json) ? read_devices(h, &reason)
                              : error_set(&reason, ERROR_CONFIG, "this is no JSON object");
    if (rc != 0) {
        error_set(e, rc, "%s: %.450s", name, rc == ERROR_NOMEM ? error_name(rc) : reason.text);
        house_close(h);
    }
    return rc;
}

int house_read(const char *path, struct house *h, struct error_text *e)
{
    json_error_t why;
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &why);

    return read_json(path, json, &why, h, e);
}

int house_parse(const char *name, struct span text, struct house *h, struct error_text *e)
{
    json_error_t why;
    json_t *json = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &why);

    return read_json(name, json, &why, h, e);
}

void house_close(struct house *h)
{
    for (size_t i = 0; i < h->n_devices; i++) {
        free(h->devices[i].operations);
    }
    map_close(&h->by_id);
    free(h->devices);
    free(h->ids);
    json_decref(h->json);
    memset(h, 0, sizeof *h);
}

struct device *house_find(const struct house *h, enum controller_class device_class,
                          struct span guid)
{
    char key[ID_BYTES];
    size_t len = format_id(key, device_class, guid);

    return len == 0 ? NULL : map_get(&h->by_id, key, len);
}

bool house_has(const struct house *h, struct span guid)
{
    for (size_t i = 0; i < CONTROLLER_N_CLASSES; i++) {
        if (house_find(h, (enum controller_class)i, guid) != NULL) {
            return true;
        }
    }
    return false;
}
