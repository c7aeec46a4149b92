/* SPDX-License-Identifier: Apache-2.0 */
/* Executing commands, and running the steps of scenes and buttons.
 *
 * A scene runs as long as device->pause is set: that alarm leads to the next step. Steps without a
 * pause follow at once. Launching a running scene starts it again; stopping cancels the alarm. When
 * no alarm can be had, the scene ends there and the log says so. */
#include "tests/simulator/bus.h"

#include "proto/base/log.h"
#include "tests/simulator/operation.h"

void bus_init(struct bus *b, uv_loop_t *loop, struct journal *journal)
{
    b->journal = journal;
    alarms_init(&b->alarms, loop);
}

void bus_close(struct bus *b)
{
    alarms_close(&b->alarms);
}

static void record(struct bus *b, const struct bus_command *c, const struct device *scene)
{
    journal_command(b->journal, &(struct journal_command){
                                    .controller = c->controller->name,
                                    .guid = c->guid,
                                    .group = c->group,
                                    .value = c->number == NULL ? NULL : c->number->text,
                                    .device = c->device == NULL ? NULL : c->device->name,
                                    .scene = scene == NULL ? NULL : scene->guid,
                                    .request = c->request,
                                });
}

static void change_state(struct bus *b, const struct bus_command *c)
{
    uint64_t now_ms = uv_now(b->alarms.loop);
    struct number one;

    if (c->device == NULL) {
        return;
    }
    number_set(&one, 1);
    if (c->confirm_ms > 0) {
        device_set_later(c->device, c->controller->object, c->number, now_ms,
                         now_ms + c->confirm_ms);
    } else {
        device_set(c->device, c->controller->object, c->number == NULL ? &one : c->number, now_ms);
    }
}

static void run_step(struct bus *b, struct device *scene)
{
    const struct operation *o = &scene->operations[scene->next_operation++];
    bool to_device = o->device != NULL;
    struct bus_command step = {
        .controller = o->controller,
        .device = o->device,
        .guid = span_of(to_device ? o->device->guid : NULL),
        .group = span_of(to_device ? NULL : o->group),
        .number = &o->number,
        .request = scene->request,
    };

    record(b, &step, scene);
    change_state(b, &step);
}

static void on_pause_over(void *arg);

/* Runs steps until there is a pause, or none is left. The pause before the next one has passed if
 * `pause_over`. */
static void run_steps(struct bus *b, struct device *scene, bool pause_over)
{
    while (scene->next_operation < scene->n_operations) {
        uint32_t pause_ms = scene->operations[scene->next_operation].pause_ms;
        if (pause_ms > 0 && !pause_over) {
            int rc = alarm_start(&b->alarms, pause_ms, on_pause_over, scene, &scene->pause);
            if (rc != 0) {
                log_event(LOG_LEVEL_ERROR, "scene cut short", log_text("scene", scene->guid),
                          log_text("reason", error_name(rc)));
            }
            return;
        }
        pause_over = false;
        run_step(b, scene);
    }
}

static void on_pause_over(void *arg)
{
    struct device *scene = arg;

    scene->pause = NULL;
    run_steps(scene->bus, scene, true);
}

static void stop_steps(struct device *scene)
{
    alarm_cancel(scene->pause);
    scene->pause = NULL;
    scene->next_operation = scene->n_operations;
}

static void launch(struct bus *b, struct device *scene, uint64_t request)
{
    stop_steps(scene);
    scene->bus = b;
    scene->request = request;
    scene->next_operation = 0;
    run_steps(b, scene, false);
}

void bus_execute(struct bus *b, const struct bus_command *c)
{
    enum controller_object object = c->controller->object;

    record(b, c, NULL);
    change_state(b, c);
    if (object == CONTROLLER_OBJECT_TRIGGER ||
        (object == CONTROLLER_OBJECT_LAUNCH && c->number->value > 0)) {
        launch(b, c->device, c->request);
    } else if (object == CONTROLLER_OBJECT_LAUNCH) {
        stop_steps(c->device);
    }
}
