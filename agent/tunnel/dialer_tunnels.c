/* SPDX-License-Identifier: Apache-2.0 */
/* The tunnels of a dialer: one that is current, one that may be silent beside it, and those that
 * drain.
 *
 * Silence: a line that is silent for seconds may be cut, or its router may have forgotten the
 * connection. The tunnel is set aside (`silent`), where it goes on, and the dialer goes to WAITING
 * as after a loss. What comes first decides: a new tunnel is up, and the relay lets the old one
 * finish; or an attempt fails while the old one is heard again, which is OPEN then as if nothing
 * had been; or the old one ends. */
#include "agent/tunnel/dialer_internal.h"

#include <stdlib.h>

#include "proto/base/log.h"
#include "proto/base/random.h"

void dialer_free_leg(struct leg *leg)
{
    list_remove(&leg->node);
    free(leg);
}

/* 0 if it was never open. */
static uint64_t lived_ms(const struct dialer *d, const struct leg *leg)
{
    bool was_open = leg == d->silent || (leg == d->current && d->state == DIALER_OPEN);
    return was_open ? uv_now(d->owner.loop) - d->up_ms : 0;
}

void dialer_retire(struct dialer *d, struct leg *leg)
{
    struct leg **place = leg == d->silent ? &d->silent : &d->current;
    struct list *oldest = d->n_old < DIALER_DRAINING_MAX ? NULL : list_pop(&d->old);
    if (oldest != NULL) {
        d->n_old--;
        tunnel_abort(LIST_ITEM(oldest, struct leg, node)->tunnel);
        free(LIST_ITEM(oldest, struct leg, node));
    }
    *place = NULL;
    list_push(&d->old, &leg->node);
    d->n_old++;
}

void dialer_drain_silent(struct dialer *d)
{
    struct leg *leg = d->silent;

    if (leg != NULL) {
        dialer_retire(d, leg);
        tunnel_drain(leg->tunnel);
    }
}

static void on_up(void *user, struct tunnel *t, const struct mux_peer *peer)
{
    const struct leg *leg = user;
    struct dialer *d = leg->dialer;
    (void)t;

    dialer_enter(d, DIALER_OPEN);
    d->up_ms = uv_now(d->owner.loop);
    d->last_error.text[0] = '\0';
    log_event(LOG_LEVEL_INFO, "tunnel up", log_text("relay", d->relay),
              log_text("serial", d->settings.serial), log_uint("tunnel", peer->generation),
              log_text("software", peer->software), log_uint("version", peer->version),
              log_uint("attempts", d->n_failed + 1));
    d->n_failed = 0;
    dialer_drain_silent(d);
    d->owner.on_up(d->owner.user);
}

static void on_silent(void *user, struct tunnel *t)
{
    struct leg *leg = user;
    struct dialer *d = leg->dialer;
    const char *reason = "nothing is heard of the relay, not even acknowledgements";
    (void)t;

    if (leg != d->current || d->state != DIALER_OPEN) {
        return;
    }
    uint32_t ms = retry_wait_ms(&d->retry, RETRY_DROPPED, lived_ms(d, leg), 0, random_u64());
    d->current = NULL;
    d->silent = leg;
    (void)error_set(&d->last_error, ERROR_CLOSED, "%s", reason);
    dialer_wait(d, ms);
    log_event(LOG_LEVEL_WARN, "tunnel is silent", log_text("relay", d->relay),
              log_text("reason", reason), log_uint("retry_ms", ms));
}

static enum retry_class goaway_class(enum head_goaway reason)
{
    switch (reason) {
    case HEAD_GOAWAY_SHUTDOWN:
    case HEAD_GOAWAY_EXHAUSTED: return RETRY_MOVED;
    case HEAD_GOAWAY_REPLACED: return RETRY_REPLACED;
    case HEAD_GOAWAY_DISABLED:
    case HEAD_GOAWAY_VERSION: return RETRY_REFUSED;
    case HEAD_GOAWAY_PROTOCOL: return RETRY_DROPPED;
    default: return RETRY_MOVED; /* PROTOCOL.md 4.10: unknown numbers count as SHUTDOWN */
    }
}

static const char *goaway_sentence(enum head_goaway reason)
{
    switch (reason) {
    case HEAD_GOAWAY_SHUTDOWN: return "relay is shutting down";
    case HEAD_GOAWAY_EXHAUSTED: return "the tunnel's stream numbers are used up";
    case HEAD_GOAWAY_REPLACED: return "another agent with this serial connected";
    case HEAD_GOAWAY_DISABLED: return "relay has disabled or removed this server";
    case HEAD_GOAWAY_VERSION: return "relay speaks no common version of the protocol";
    case HEAD_GOAWAY_PROTOCOL: return "relay says that we broke the protocol";
    default: return "relay said goodbye without a known reason";
    }
}

/* Which tunnel's goaway decides when to dial: once there is a connection beside the silent one, its
 * relay says REPLACED for our own doing. */
static bool decides(const struct dialer *d, const struct leg *leg)
{
    return leg == d->current || (leg == d->silent && d->current == NULL);
}

static void on_goaway(void *user, struct tunnel *t, enum head_goaway reason,
                      uint32_t retry_after_ms)
{
    struct leg *leg = user;
    struct dialer *d = leg->dialer;
    enum retry_class class = goaway_class(reason);
    (void)t;

    if (class == RETRY_REPLACED && leg->rivalled) {
        class = RETRY_DROPPED; /* by an attempt of ours, which did not live to see it */
    }

    if (d->state == DIALER_DRAINING || (leg != d->current && leg != d->silent)) {
        return;
    }
    if (!decides(d, leg)) {
        dialer_drain_silent(d);
        return;
    }
    dialer_stop_attempt(d);
    uint32_t ms = retry_wait_ms(&d->retry, class, lived_ms(d, leg), retry_after_ms, random_u64());
    dialer_retire(d, leg);
    (void)error_set(&d->last_error, ERROR_CLOSED, "%s", goaway_sentence(reason));
    dialer_wait(d, ms);
    log_event(class == RETRY_MOVED ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "tunnel draining",
              log_text("relay", d->relay), log_text("class", retry_class_name(class)),
              log_text("reason", goaway_sentence(reason)), log_uint("retry_ms", ms));
}

static void on_down(void *user, struct tunnel *t, const struct tunnel_end *end)
{
    struct leg *leg = user;
    struct dialer *d = leg->dialer;
    bool was_current = leg == d->current;
    bool was_silent = leg == d->silent;
    (void)t;

    dialer_free_leg(leg);
    if (was_current) {
        d->current = NULL;
    } else if (was_silent) {
        d->silent = NULL;
        log_event(LOG_LEVEL_WARN, "tunnel lost", log_text("relay", d->relay),
                  log_text("class", retry_class_name(end->class)), log_text("reason", end->reason));
    } else {
        d->n_old--;
        log_event(LOG_LEVEL_INFO, "tunnel drained", log_text("relay", d->relay),
                  log_text("reason", end->reason));
    }
    if (d->state == DIALER_DRAINING) {
        dialer_close_if_empty(d);
    } else if (was_current) {
        dialer_retry(d, end->class, end->lived_ms, end->reason);
    }
}

void dialer_open_tunnel(struct dialer *d, const struct sockaddr *address)
{
    static const struct tunnel_callbacks callbacks = {
        .on_up = on_up,
        .on_silent = on_silent,
        .on_goaway = on_goaway,
        .on_down = on_down,
    };
    const struct link_target target = {
        .relay = d->settings.relay,
        .address = address,
        .proxied = d->settings.proxy != NULL,
        .proxy_user = d->settings.proxy_user,
        .proxy_password = d->settings.proxy_password,
        .serial = d->settings.serial,
        .token = d->settings.token,
        .keepalive_ms = d->settings.keepalive_ms,
    };
    const struct tunnel_settings settings = {
        .loop = d->owner.loop,
        .links = d->owner.links,
        .lane = d->lane,
        .target = &target,
        .drain_ms = d->settings.drain_ms,
        .streams = d->owner.streams,
        .streams_user = d->owner.streams_user,
    };
    struct error_text e = {""};
    struct leg *leg = calloc(1, sizeof(*leg));

    if (leg == NULL) {
        dialer_retry(d, RETRY_FAILED, 0, "no memory");
        return;
    }
    list_init(&leg->node);
    leg->dialer = d;
    if (tunnel_open(&settings, &callbacks, leg, &leg->tunnel, &e) != 0) {
        free(leg);
        dialer_retry(d, RETRY_UNREACHABLE, 0, e.text);
        return;
    }
    d->current = leg;
    if (d->silent != NULL) {
        d->silent->rivalled = true;
    }
    dialer_enter(d, DIALER_CONNECTING);
}
