/* SPDX-License-Identifier: Apache-2.0 */
/* A call of the API: which controller, are the parameters right, execute, and what to answer.
 *
 * Checked in this order: controller (404), guid or group present and well-formed (400 params
 * errors), device known (404 device not found), device able to (400 impossible to execute), value
 * present and in range (400 params errors). Nothing is executed unless everything is right. */
#ifndef TESTS_SIMULATOR_API_H
#define TESTS_SIMULATOR_API_H

#include <stdint.h>

#include "tests/simulator/bus.h"
#include "tests/simulator/house.h"
#include "tests/simulator/params.h"
#include "tests/simulator/serverstatus.h"
#include "tests/simulator/writer.h"

struct api {
    struct house *house; /* borrowed, likewise the bus */
    struct bus *bus;
    uint32_t feedback_delay_ms; /* of devices without their own */
    struct serverstatus server; /* kept up to date by the owner but for version and pbx_users */
};

struct api_call {
    int status; /* of HTTP */
    const struct controller *controller;
    struct device *device;
    char guid[DEVICE_GUID_BYTES]; /* as the caller spelt it */
    uint32_t confirm_ms;          /* over 0: the answer is due when the device has confirmed */
};

/* Executes the call `name` (what follows "/api/v1/"). Writes the JSON answer, except when
 * call->confirm_ms is over 0: then api_answer writes it that many ms later. `request` is the
 * number for the KNX log. */
void api_execute(struct api *a, struct span name, const struct params *p, uint64_t request,
                 struct api_call *call, struct writer *w);

/* Writes the answer of a confirmed call. `now_ms` as uv_now. */
void api_answer(const struct api_call *call, uint64_t now_ms, struct writer *w);

/* Writes {"error":"..."}. */
void api_write_error(struct writer *w, const char *error);

#endif
