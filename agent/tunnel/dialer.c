/* SPDX-License-Identifier: Apache-2.0 */
/* Dial, wait, dial again.
 *
 * Happy path: WAITING (no time at first) -> RESOLVING -> RACING -> CONNECTING -> OPEN. A goaway of
 * the relay moves the tunnel to the list of draining ones, where it finishes its streams, and the
 * dialer goes on to WAITING as its reason demands: not at all for SHUTDOWN, so that the new tunnel
 * is up while the old one drains.
 *
 * Silence of the line: dialer_tunnels.c.
 *
 * Failures: any step of an attempt, or the end of the open tunnel, leads to WAITING for as long as
 * retry.c says. Ends: dialer_drain and dialer_close, after which the last tunnel's end closes the
 * timer, whose close callback frees the dialer. */
#include "agent/tunnel/dialer_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/log.h"
#include "proto/base/random.h"

const char *dialer_state_name(enum dialer_state state)
{
    switch (state) {
    case DIALER_WAITING: return "waiting";
    case DIALER_RESOLVING: return "resolving";
    case DIALER_RACING: return "racing";
    case DIALER_CONNECTING: return "connecting";
    case DIALER_OPEN: return "open";
    case DIALER_DRAINING: return "draining";
    case DIALER_CLOSED: return "closed";
    default: return "unknown";
    }
}

void dialer_enter(struct dialer *d, enum dialer_state state)
{
    bool was_down = d->state < DIALER_OPEN;
    bool is_down = state < DIALER_OPEN;
    if (d->since_s == 0 || !was_down || !is_down) {
        d->since_s = clock_wall_s();
    }
    d->state = state;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct dialer *d = handle->data;
    const struct dialer_owner owner = d->owner;

    lookup_close(&d->lookup);
    link_lane_close(d->lane);
    free(d);
    owner.on_closed(owner.user);
}

void dialer_close_if_empty(struct dialer *d)
{
    if (d->state == DIALER_DRAINING && d->current == NULL && list_empty(&d->old)) {
        dialer_enter(d, DIALER_CLOSED);
        uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    }
}

static void on_due(uv_timer_t *timer);

void dialer_wait(struct dialer *d, uint32_t ms)
{
    dialer_enter(d, DIALER_WAITING);
    d->due_ms = uv_now(d->owner.loop) + ms;
    (void)uv_timer_start(&d->timer, on_due, ms, 0);
}

/* Whether the log should have this failed attempt. */
static bool is_news(struct dialer *d, const char *reason)
{
    uint64_t now_ms = uv_now(d->owner.loop);
    uint64_t quiet_ms = strcmp(reason, d->told.text) == 0 ? DIALER_LOG_MS : DIALER_LOG_CHANGED_MS;

    if (d->n_failed > 1 && now_ms - d->told_ms < quiet_ms) {
        return false;
    }
    d->told_ms = now_ms;
    (void)error_set(&d->told, ERROR_CLOSED, "%s", reason);
    return true;
}

static void tell_failure(struct dialer *d, enum retry_class class, const char *reason, uint32_t ms)
{
    d->n_failed++;
    log_event(is_news(d, reason) ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "relay not reached",
              log_text("relay", d->relay), log_text("class", retry_class_name(class)),
              log_text("reason", reason), log_uint("retry_ms", ms),
              log_uint("attempts", d->n_failed));
}

/* The silent tunnel is heard again. `reason`: why there is no new one. */
static void return_to_silent(struct dialer *d, const char *reason)
{
    d->current = d->silent;
    d->silent = NULL;
    d->n_failed = 0;
    d->up_ms = uv_now(d->owner.loop);
    d->last_error.text[0] = '\0';
    dialer_enter(d, DIALER_OPEN);
    log_event(LOG_LEVEL_INFO, "tunnel is heard again", log_text("relay", d->relay),
              log_text("attempt", reason));
}

void dialer_retry(struct dialer *d, enum retry_class class, uint64_t lived_ms, const char *reason)
{
    uint32_t ms = retry_wait_ms(&d->retry, class, lived_ms, 0, random_u64());

    if (d->silent != NULL && tunnel_is_heard(d->silent->tunnel)) {
        return_to_silent(d, reason);
        return;
    }

    (void)error_set(&d->last_error, ERROR_CLOSED, "%s", reason);
    dialer_wait(d, ms);
    if (lived_ms == 0) {
        tell_failure(d, class, reason, ms);
        return;
    }
    log_event(LOG_LEVEL_WARN, "tunnel lost", log_text("relay", d->relay),
              log_text("class", retry_class_name(class)), log_text("reason", reason),
              log_uint("retry_ms", ms));
}

void dialer_stop_attempt(struct dialer *d)
{
    (void)uv_timer_stop(&d->timer);
    if (d->race != NULL) {
        race_cancel(d->race);
        d->race = NULL;
    }
}

static void on_raced(void *user, const struct sockaddr *winner, const char *reason)
{
    struct dialer *d = user;

    d->race = NULL;
    if (winner != NULL) {
        dialer_open_tunnel(d, winner);
    } else {
        dialer_retry(d, RETRY_UNREACHABLE, 0, reason);
    }
}

static void on_due(uv_timer_t *timer)
{
    struct dialer *d = timer->data;
    const struct url *to = d->settings.proxy != NULL ? d->settings.proxy : d->settings.relay;

    dialer_enter(d, DIALER_RESOLVING);
    if (race_start(d->owner.loop, &d->lookup, to, on_raced, d, &d->race) != 0) {
        dialer_retry(d, RETRY_FAILED, 0, "no memory");
    }
}

static struct trust_settings trust_of(const struct dialer_settings *settings)
{
    return (struct trust_settings){
        .relay = settings->relay,
        .ca_file = settings->ca_file,
        .pins = settings->pins,
        .n_pins = settings->n_pins,
    };
}

int dialer_new(const struct dialer_owner *owner, const struct dialer_settings *settings,
               struct dialer **dialer, struct error_text *e)
{
    const struct trust_settings trust = trust_of(settings);
    char authority[URL_AUTHORITY_BYTES];
    struct dialer *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    int rc = link_lane_open(owner->links, &trust, &d->lane, e);
    if (rc != 0) {
        free(d);
        return rc;
    }
    d->owner = *owner;
    d->settings = *settings;
    url_format_authority(settings->relay, URL_RELAY_PORT, authority);
    (void)snprintf(d->relay, sizeof(d->relay), "wss://%s", authority); /* is counted to fit */
    retry_init(&d->retry);
    lookup_init(&d->lookup, owner->loop);
    list_init(&d->old);
    (void)uv_timer_init(owner->loop, &d->timer); /* cannot fail */
    d->timer.data = d;
    dialer_wait(d, 0);
    *dialer = d;
    return 0;
}

int dialer_change(struct dialer *d, const struct dialer_settings *settings, struct error_text *e)
{
    const struct trust_settings trust = trust_of(settings);
    int rc = link_lane_change(d->lane, &trust, e);

    if (rc != 0) {
        return rc;
    }
    d->settings = *settings;
    d->n_failed = 0;
    if (d->state == DIALER_WAITING) {
        retry_init(&d->retry);
        dialer_wait(d, 0);
    }
    return 0;
}

void dialer_drain(struct dialer *d)
{
    if (d->state >= DIALER_DRAINING) {
        return;
    }
    bool open = d->state == DIALER_OPEN;
    dialer_stop_attempt(d);
    dialer_enter(d, DIALER_DRAINING);
    if (open) {
        tunnel_drain(d->current->tunnel);
    } else if (d->current != NULL) {
        tunnel_abort(d->current->tunnel);
        dialer_free_leg(d->current);
        d->current = NULL;
    }
    dialer_drain_silent(d);
    dialer_close_if_empty(d);
}

static void abort_old(struct dialer *d)
{
    struct list *node = d->old.next;

    while (node != &d->old) {
        struct leg *leg = LIST_ITEM(node, struct leg, node);
        node = node->next;
        tunnel_abort(leg->tunnel);
        free(leg);
    }
    list_init(&d->old);
    d->n_old = 0;
}

void dialer_close(struct dialer *d)
{
    if (d->state == DIALER_CLOSED) {
        return;
    }
    dialer_stop_attempt(d);
    dialer_enter(d, DIALER_DRAINING);
    if (d->current != NULL) {
        dialer_retire(d, d->current);
    }
    if (d->silent != NULL) {
        dialer_retire(d, d->silent);
    }
    abort_old(d);
    dialer_close_if_empty(d);
}

int dialer_control(struct dialer *d, uint16_t op, struct span body, tunnel_reply on_reply,
                   void *user)
{
    if (d->state != DIALER_OPEN) {
        return ERROR_STATE;
    }
    return tunnel_control(d->current->tunnel, op, body, on_reply, user);
}

const struct url *dialer_relay(const struct dialer *d)
{
    return d->settings.relay;
}

void dialer_read_status(const struct dialer *d, struct dialer_status *s)
{
    uint64_t now_ms = uv_now(d->owner.loop);

    *s = (struct dialer_status){
        .relay = d->relay,
        .state = d->state,
        .since_s = d->since_s,
        .last_error = d->last_error.text,
        .n_draining = d->n_old,
    };
    if (d->state == DIALER_RESOLVING && d->race != NULL && !race_resolving(d->race)) {
        s->state = DIALER_RACING;
    }
    if (d->state == DIALER_WAITING && d->due_ms > now_ms) {
        s->next_ms = (uint32_t)(d->due_ms - now_ms);
    }
    if (d->current != NULL) {
        tunnel_read_stats(d->current->tunnel, &s->tunnel);
    }
}
