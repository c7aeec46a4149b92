/* SPDX-License-Identifier: Apache-2.0 */
/* The timer is set with the first line that waits and then left alone: a batch that was full before
 * it fires makes the next one leave a little early, never late. */
#include "proto/io/log_delay.h"

#include "proto/base/log.h"

static void on_due(uv_timer_t *timer)
{
    (void)timer;
    log_flush();
}

void log_delay_init(struct log_delay *d, uv_loop_t *loop)
{
    uv_timer_init(loop, &d->timer);
}

void log_delay_turn(struct log_delay *d)
{
    if (log_waits() && !uv_is_active((uv_handle_t *)&d->timer)) {
        (void)uv_timer_start(&d->timer, on_due, LOG_DELAY_MS, 0); /* fails for a closed one only */
    }
}

void log_delay_close(struct log_delay *d)
{
    uv_close((uv_handle_t *)&d->timer, NULL);
}
