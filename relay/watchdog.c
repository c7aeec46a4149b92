/* SPDX-License-Identifier: Apache-2.0 */
/* Each worker leaves the time of its last tick (every WHEEL_TICK_MS). Where one of them stays away
 * for a third of systemd's interval nothing is sent, and when the interval is over systemd kills
 * the process and starts it anew. The store's thread is not looked at: a slow disk is no reason to
 * cut calls that are served from memory. */
#include "relay/watchdog.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/notify.h"

/* Messages per interval: two may be late. */
#define MESSAGES 3

bool watchdog_workers_turn(const struct relay *relay, uint64_t now_ms, uint64_t within_ms)
{
    for (unsigned i = 0; i < relay->n_workers; i++) {
        const struct worker *w = &relay->workers[i];
        uint64_t turned_ms = atomic_load(&w->turned_ms);
        if (w->started && !atomic_load(&w->ended) && turned_ms + within_ms < now_ms) {
            return false;
        }
    }
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    struct watchdog *d = timer->data;
    uint64_t third_ms = d->interval_ms / MESSAGES;
    if (watchdog_workers_turn(d->relay, clock_now_ms(), third_ms + WHEEL_TICK_MS)) {
        (void)notify_send("WATCHDOG=1"); /* one that is lost is made good by the next */
        d->stuck = false;
    } else if (!d->stuck) {
        d->stuck = true;
        log_event(LOG_LEVEL_ERROR, "a worker does not turn, the watchdog is not fed",
                  log_uint("for_ms", third_ms));
    }
}

void watchdog_init(struct watchdog *d, uv_loop_t *loop, struct relay *relay)
{
    *d = (struct watchdog){.relay = relay, .interval_ms = notify_watchdog_ms()};
    uv_timer_init(loop, &d->timer);
    d->timer.data = d;
}

void watchdog_start(struct watchdog *d)
{
    uint64_t third_ms = d->interval_ms / MESSAGES;
    if (third_ms > 0) {
        uv_timer_start(&d->timer, on_timer, third_ms, third_ms);
    }
}

void watchdog_stop(struct watchdog *d)
{
    uv_timer_stop(&d->timer);
}
