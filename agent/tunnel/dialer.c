/* SPDX-License-Identifier: Apache-2.0 */
/* Dial, wait, dial again.
 *
 * Happy path: WAITING (no time at first) -> RESOLVING -> RACING -> CONNECTING -> OPEN. A goaway of
 * the relay moves the tunnel to the list of draining ones, where it finishes its streams, and the
 * dialer goes on to WAITING as its reason demands: not at all for SHUTDOWN, so that the new tunnel
 * is up while the old one drains.
 *
 * Failures: any step of an attempt, or the end of the open tunnel, leads to WAITING for as long as
 * retry.c says. Ends: dialer_drain and dialer_close, after which the last tunnel's end closes the
 * timer, whose close callback frees the dialer. */
#include "agent/tunnel/dialer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tunnel/lookup.h"
#include "agent/tunnel/race.h"
#include "agent/tunnel/retry.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/random.h"

#define RELAY_BYTES (sizeof("wss://") + URL_AUTHORITY_BYTES)

/* A tunnel of ours. The current one is on no list. */
struct leg {
    struct list node; /* in dialer.old */
    struct dialer *dialer;
    struct tunnel *tunnel;
};

struct dialer {
    struct dialer_owner owner;
    struct dialer_settings settings;
    struct link_lane *lane;
    char relay[RELAY_BYTES];
    enum dialer_state state;
    int64_t since_s;
    uint64_t up_ms; /* OPEN: when it came to be so */
    struct retry retry;
    uv_timer_t timer;
    uint64_t due_ms;
    struct lookup lookup; /* of the relay, or the proxy */
    struct race *race;    /* RESOLVING, RACING */
    struct leg *current;  /* CONNECTING, OPEN */
    struct list old;      /* legs that drain */
    uint32_t n_old;
    struct error_text last_error;
    uint64_t n_failed; /* attempts since a tunnel was open */
    uint64_t told_ms;  /* when the log had the last of them */
    struct error_text told;
};

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

/* The attempts of one outage count as one: `since` is its beginning. */
static void enter(struct dialer *d, enum dialer_state state)
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

static void close_if_empty(struct dialer *d)
{
    if (d->state == DIALER_DRAINING && d->current == NULL && list_empty(&d->old)) {
        enter(d, DIALER_CLOSED);
        uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    }
}

static void on_due(uv_timer_t *timer);

static void wait_for(struct dialer *d, uint32_t ms)
{
    enter(d, DIALER_WAITING);
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

static void retry_later(struct dialer *d, enum retry_class class, uint64_t lived_ms,
                        const char *reason)
{
    uint32_t ms = retry_wait_ms(&d->retry, class, lived_ms, 0, random_u64());

    (void)error_set(&d->last_error, ERROR_CLOSED, "%s", reason);
    wait_for(d, ms);
    if (lived_ms == 0) {
        tell_failure(d, class, reason, ms);
        return;
    }
    log_event(LOG_LEVEL_WARN, "tunnel lost", log_text("relay", d->relay),
              log_text("class", retry_class_name(class)), log_text("reason", reason),
              log_uint("retry_ms", ms));
}

static void free_leg(struct leg *leg)
{
    list_remove(&leg->node);
    free(leg);
}

static void on_up(void *user, struct tunnel *t, const struct mux_peer *peer)
{
    const struct leg *leg = user;
    struct dialer *d = leg->dialer;
    (void)t;

    enter(d, DIALER_OPEN);
    d->up_ms = uv_now(d->owner.loop);
    d->last_error.text[0] = '\0';
    log_event(LOG_LEVEL_INFO, "tunnel up", log_text("relay", d->relay),
              log_text("serial", d->settings.serial), log_uint("tunnel", peer->generation),
              log_text("software", peer->software), log_uint("version", peer->version),
              log_uint("attempts", d->n_failed + 1));
    d->n_failed = 0;
    d->owner.on_up(d->owner.user);
}

/* To the draining ones. */
static void retire(struct dialer *d, struct leg *leg)
{
    struct list *oldest = d->n_old < DIALER_DRAINING_MAX ? NULL : list_pop(&d->old);
    if (oldest != NULL) {
        d->n_old--;
        tunnel_abort(LIST_ITEM(oldest, struct leg, node)->tunnel);
        free(LIST_ITEM(oldest, struct leg, node));
    }
    d->current = NULL;
    list_push(&d->old, &leg->node);
    d->n_old++;
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

static uint64_t lived_ms(const struct dialer *d)
{
    return d->state == DIALER_OPEN ? uv_now(d->owner.loop) - d->up_ms : 0;
}

static void on_goaway(void *user, struct tunnel *t, enum head_goaway reason,
                      uint32_t retry_after_ms)
{
    struct leg *leg = user;
    struct dialer *d = leg->dialer;
    enum retry_class class = goaway_class(reason);
    (void)t;

    if (leg != d->current || d->state == DIALER_DRAINING) {
        return;
    }
    uint32_t ms = retry_wait_ms(&d->retry, class, lived_ms(d), retry_after_ms, random_u64());
    retire(d, leg);
    (void)error_set(&d->last_error, ERROR_CLOSED, "%s", goaway_sentence(reason));
    wait_for(d, ms);
    log_event(class == RETRY_MOVED ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "tunnel draining",
              log_text("relay", d->relay), log_text("class", retry_class_name(class)),
              log_text("reason", goaway_sentence(reason)), log_uint("retry_ms", ms));
}

static void on_down(void *user, struct tunnel *t, const struct tunnel_end *end)
{
    struct leg *leg = user;
    struct dialer *d = leg->dialer;
    bool was_current = leg == d->current;
    (void)t;

    free_leg(leg);
    if (was_current) {
        d->current = NULL;
    } else {
        d->n_old--;
        log_event(LOG_LEVEL_INFO, "tunnel drained", log_text("relay", d->relay),
                  log_text("reason", end->reason));
    }
    if (d->state == DIALER_DRAINING) {
        close_if_empty(d);
    } else if (was_current) {
        retry_later(d, end->class, end->lived_ms, end->reason);
    }
}

static void open_tunnel(struct dialer *d, const struct sockaddr *address)
{
    static const struct tunnel_callbacks callbacks = {
        .on_up = on_up,
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
        retry_later(d, RETRY_FAILED, 0, "no memory");
        return;
    }
    list_init(&leg->node);
    leg->dialer = d;
    if (tunnel_open(&settings, &callbacks, leg, &leg->tunnel, &e) != 0) {
        free(leg);
        retry_later(d, RETRY_UNREACHABLE, 0, e.text);
        return;
    }
    d->current = leg;
    enter(d, DIALER_CONNECTING);
}

static void on_raced(void *user, const struct sockaddr *winner, const char *reason)
{
    struct dialer *d = user;

    d->race = NULL;
    if (winner != NULL) {
        open_tunnel(d, winner);
    } else {
        retry_later(d, RETRY_UNREACHABLE, 0, reason);
    }
}

static void on_due(uv_timer_t *timer)
{
    struct dialer *d = timer->data;
    const struct url *to = d->settings.proxy != NULL ? d->settings.proxy : d->settings.relay;

    enter(d, DIALER_RESOLVING);
    if (race_start(d->owner.loop, &d->lookup, to, on_raced, d, &d->race) != 0) {
        retry_later(d, RETRY_FAILED, 0, "no memory");
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
    wait_for(d, 0);
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
        wait_for(d, 0);
    }
    return 0;
}

static void stop_attempt(struct dialer *d)
{
    (void)uv_timer_stop(&d->timer);
    if (d->race != NULL) {
        race_cancel(d->race);
        d->race = NULL;
    }
}

void dialer_drain(struct dialer *d)
{
    if (d->state >= DIALER_DRAINING) {
        return;
    }
    bool open = d->state == DIALER_OPEN;
    stop_attempt(d);
    enter(d, DIALER_DRAINING);
    if (open) {
        tunnel_drain(d->current->tunnel);
    } else if (d->current != NULL) {
        tunnel_abort(d->current->tunnel);
        free_leg(d->current);
        d->current = NULL;
    }
    close_if_empty(d);
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
    stop_attempt(d);
    enter(d, DIALER_DRAINING);
    if (d->current != NULL) {
        list_push(&d->old, &d->current->node);
        d->current = NULL;
    }
    abort_old(d);
    close_if_empty(d);
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
