/* SPDX-License-Identifier: Apache-2.0 */
/* One-shot timers on the loop. An alarm is freed in its handle's close callback and nowhere else;
 * from its firing or cancelling until then it is on no list. */
#include "tests/simulator/alarm.h"

#include <stdlib.h>

#include "proto/base/error.h"

struct alarm {
    uv_timer_t timer;
    struct list node;
    struct alarms *alarms;
    alarm_callback on_alarm;
    void *arg;
};

void alarms_init(struct alarms *a, uv_loop_t *loop)
{
    a->loop = loop;
    a->n_alarms = 0;
    list_init(&a->list);
}

static void on_close(uv_handle_t *handle)
{
    free(handle->data);
}

static void end_alarm(struct alarm *alarm)
{
    alarm->alarms->n_alarms--;
    list_remove(&alarm->node);
    uv_close((uv_handle_t *)&alarm->timer, on_close);
}

static void on_timer(uv_timer_t *timer)
{
    struct alarm *alarm = timer->data;
    alarm_callback on_alarm = alarm->on_alarm;
    void *arg = alarm->arg;

    end_alarm(alarm);
    on_alarm(arg);
}

int alarm_start(struct alarms *a, uint64_t ms, alarm_callback on_alarm, void *arg,
                struct alarm **alarm)
{
    struct alarm *made = NULL;

    if (a->n_alarms == ALARMS_MAX) {
        return ERROR_LIMIT;
    }
    made = calloc(1, sizeof *made);
    if (made == NULL) {
        return ERROR_NOMEM;
    }
    made->alarms = a;
    made->on_alarm = on_alarm;
    made->arg = arg;
    made->timer.data = made;
    (void)uv_timer_init(a->loop, &made->timer);          /* libuv: always 0 */
    (void)uv_timer_start(&made->timer, on_timer, ms, 0); /* fails only while closing */
    list_push(&a->list, &made->node);
    a->n_alarms++;
    *alarm = made;
    return 0;
}

void alarm_cancel(struct alarm *alarm)
{
    if (alarm != NULL) {
        end_alarm(alarm);
    }
}

void alarms_close(struct alarms *a)
{
    struct list *node = NULL;

    while ((node = list_first(&a->list)) != NULL) {
        end_alarm(LIST_ITEM(node, struct alarm, node));
    }
}
