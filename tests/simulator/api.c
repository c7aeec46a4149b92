/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the API. */
#include "tests/simulator/api.h"

#include <stdio.h>

#include "tests/simulator/group.h"

/* The three errors of the vendor's document. */
#define DEVICE_NOT_FOUND      "device not found"
#define PARAMS_ERRORS         "params errors"
#define IMPOSSIBLE_TO_EXECUTE "impossible to execute"

void api_write_error(struct writer *w, const char *error)
{
    writer_text(w, "{\"error\":");
    writer_json(w, span_of(error));
    writer_text(w, "}");
}

static void fail(struct api_call *call, int status, const char *error, struct writer *w)
{
    call->status = status;
    api_write_error(w, error);
}

/* Reads the value of a command. False if it is missing, no number or out of range. */
static bool read_value(const struct controller *c, const struct params *p, double min, double max,
                       struct number *n)
{
    struct span text;

    if (!params_get(p, controller_param_name(c->param), &text)) {
        return false;
    }
    if (c->kind == CONTROLLER_KIND_DECIMAL ? number_parse_decimal(text, n) != 0
                                           : number_parse_integer(text, n) != 0) {
        return false;
    }
    return number_within(n, min, max);
}

static void begin_answer(const struct api_call *call, const char *key, struct span target,
                         struct writer *w)
{
    writer_text(w, "{\"namespace\":");
    writer_json(w, span_of(call->controller->name));
    writer_text(w, key);
    writer_json(w, target);
}

static void write_device_answer(const struct api_call *call, const struct number *status,
                                struct writer *w)
{
    begin_answer(call, ",\"guid\":", span_of(call->guid), w);
    if (status != NULL) {
        writer_text(w, ",\"status\":");
        writer_text(w, status->text);
    }
    writer_text(w, ",\"comm_obj\":");
    writer_uint(w, device_comm_obj(call->device, call->controller));
    writer_text(w, "}");
}

void api_answer(const struct api_call *call, uint64_t now_ms, struct writer *w)
{
    write_device_answer(call, device_status(call->device, call->controller->object, now_ms), w);
}

static void send_telegram(struct api *a, const struct params *p, uint64_t request,
                          struct api_call *call, struct writer *w)
{
    const struct controller *c = call->controller;
    struct span group;
    struct number n;

    if (!params_get(p, "group", &group) || !group_ok(group) ||
        !read_value(c, p, c->min, c->max, &n)) {
        fail(call, 400, PARAMS_ERRORS, w);
        return;
    }
    bus_execute(a->bus, &(struct bus_command){
                            .controller = c, .group = group, .number = &n, .request = request});
    begin_answer(call, ",\"group\":", group, w);
    writer_text(w, ",\"value\":");
    writer_text(w, n.text);
    writer_text(w, "}");
}

/* Finds the device of the call. False after a failure was written. */
static bool find_device(struct api *a, const struct params *p, struct api_call *call,
                        struct writer *w)
{
    const struct controller *c = call->controller;
    struct span guid;

    if (!params_get(p, "guid", &guid) || guid.len == 0) {
        fail(call, 400, PARAMS_ERRORS, w);
        return false;
    }
    call->device = house_find(a->house, c->device_class, guid);
    if (call->device == NULL && !house_has(a->house, guid)) {
        fail(call, 404, DEVICE_NOT_FOUND, w);
        return false;
    }
    if (call->device == NULL || (c->needs_dimmable && !call->device->dimmable)) {
        fail(call, 400, IMPOSSIBLE_TO_EXECUTE, w);
        return false;
    }
    return span_copy(guid, call->guid, sizeof call->guid) == 0; /* fits: it was found */
}

/* The range of an analog value belongs to the device. */
static bool read_device_value(const struct api_call *call, const struct params *p, struct number *n)
{
    const struct controller *c = call->controller;
    bool own_range = c->object == CONTROLLER_OBJECT_VALUE;

    return c->param == CONTROLLER_PARAM_NONE ||
           read_value(c, p, own_range ? call->device->min : c->min,
                      own_range ? call->device->max : c->max, n);
}

static void command_device(struct api *a, const struct params *p, uint64_t request,
                           struct api_call *call, struct writer *w)
{
    const struct controller *c = call->controller;
    struct number n;

    if (!read_device_value(call, p, &n)) {
        fail(call, 400, PARAMS_ERRORS, w);
        return;
    }
    if (c->takes_fb && params_has(p, "fb")) {
        call->confirm_ms = call->device->has_delay ? call->device->delay_ms : a->feedback_delay_ms;
    }
    bus_execute(a->bus, &(struct bus_command){
                            .controller = c,
                            .device = call->device,
                            .guid = span_of(call->guid),
                            .number = c->param == CONTROLLER_PARAM_NONE ? NULL : &n,
                            .confirm_ms = call->confirm_ms,
                            .request = request,
                        });
    if (call->confirm_ms == 0) {
        const struct number *status = NULL;
        if (c->takes_fb && params_has(p, "fb")) {
            status = device_status(call->device, c->object, uv_now(a->bus->alarms.loop));
        }
        write_device_answer(call, status, w);
    }
}

void api_execute(struct api *a, struct span name, const struct params *p, uint64_t request,
                 struct api_call *call, struct writer *w)
{
    *call = (struct api_call){.status = 200, .controller = controller_find(name)};
    if (call->controller == NULL) {
        fail(call, 404, "controller not found", w);
    } else if (call->controller->target == CONTROLLER_TARGET_NONE) {
        serverstatus_write(&a->server, w);
    } else if (call->controller->target == CONTROLLER_TARGET_GROUP) {
        send_telegram(a, p, request, call, w);
    } else if (find_device(a, p, call, w)) {
        if (call->controller->role == CONTROLLER_GET) {
            api_answer(call, uv_now(a->bus->alarms.loop), w);
        } else {
            command_device(a, p, request, call, w);
        }
    }
}
