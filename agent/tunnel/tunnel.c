/* SPDX-License-Identifier: Apache-2.0 */
/* A link with a mux on it.
 *
 * Happy path: CONNECTING -> (upgrade) GREETING: HELLO is sent -> (WELCOME) OPEN -> (a goaway of
 * either side) DRAINING until both have said it and no stream is left -> CLOSING: a close frame is
 * on its way -> on_down.
 *
 * Failures: the link closes by itself in any state; no upgrade within LINK_OPEN_MS; the mux finds a
 * fault in what it received, or no life in the relay; the loop stood still; the drain or the close
 * takes too long. A fault is told to the relay (GOAWAY and close code), everything else just ends.
 * In every case the mux is closed, which resets the streams, and then the owner is told.
 *
 * What the mux says (on_ready, on_goaway) is only noted and acted upon in on_turn, so that the
 * owner may end the tunnel from its callbacks. */
#include "agent/tunnel/tunnel_internal.h"

#include <assert.h>
#include <stdlib.h>

static void on_timer(uv_timer_t *timer);

static uint64_t now_ms(const struct tunnel *t)
{
    return uv_now(t->loop);
}

static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* The timer may fire too early, never too late: moving it for every frame would be waste. */
static void arm(struct tunnel *t)
{
    uint64_t now = now_ms(t);
    uint64_t wanted_ms = earlier(t->deadline_ms, now + TUNNEL_HEARTBEAT_MS);
    if (t->mux != NULL && t->state != TUNNEL_CLOSING) {
        wanted_ms = earlier(wanted_ms, mux_next_ms(t->mux));
    }
    if (t->state == TUNNEL_OPEN) {
        wanted_ms = earlier(wanted_ms, t->watch_ms);
    }
    if (t->state == TUNNEL_DRAINING && t->answer_ms > now) {
        wanted_ms = earlier(wanted_ms, t->answer_ms);
    }
    if (wanted_ms >= t->armed_ms && uv_is_active((const uv_handle_t *)&t->timer)) {
        return;
    }
    t->armed_ms = wanted_ms;
    (void)uv_timer_start(&t->timer, on_timer, wanted_ms > now ? wanted_ms - now : 0, 0);
}

void tunnel_enter(struct tunnel *t, enum tunnel_state state, uint32_t limit_ms)
{
    t->state = state;
    t->deadline_ms = limit_ms == 0 ? UINT64_MAX : now_ms(t) + limit_ms;
    t->watch_ms = now_ms(t);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct tunnel *t = handle->data;
    mux_free(t->mux);
    free(t);
}

/* Streams and calls end; the memory goes with the timer's handle. */
static void let_go(struct tunnel *t)
{
    assert(t->state != TUNNEL_GONE);
    t->state = TUNNEL_GONE;
    if (t->mux != NULL) {
        mux_close(t->mux);
    }
    tunnel_fail_calls(t);
    uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}

static void note(struct tunnel *t, enum retry_class class, const char *reason)
{
    if (t->reason.text[0] == '\0') {
        t->class = class;
        (void)error_set(&t->reason, ERROR_CLOSED, "%s", reason);
    }
}

/* Since the welcome: at least 1, and 0 only where there was none. */
static uint64_t lived_ms(const struct tunnel *t)
{
    if (t->up_ms == 0) {
        return 0;
    }
    return now_ms(t) > t->up_ms ? now_ms(t) - t->up_ms : 1;
}

/* The link is gone already, or is cut here. */
static void end(struct tunnel *t)
{
    const struct tunnel_callbacks callbacks = t->callbacks;
    void *user = t->user;
    const struct tunnel_end ended = {
        .class = t->class,
        .lived_ms = lived_ms(t),
        .reason = t->reason.text,
    };

    if (t->link != NULL) {
        link_abort(t->link);
        t->link = NULL;
    }
    let_go(t);
    callbacks.on_down(user, t, &ended); /* t lives until its timer is closed */
}

static enum retry_class unreached_class(const struct tunnel *t)
{
    return t->proxied ? RETRY_PROXY : RETRY_UNREACHABLE;
}

static enum retry_class lost_class(const struct tunnel *t)
{
    if (t->up_ms != 0) {
        return RETRY_DROPPED;
    }
    return t->link == NULL || link_reached(t->link) ? RETRY_FAILED : unreached_class(t);
}

/* Messages while the link takes them. 0, or ERROR_CLOSED. */
static int flush(struct tunnel *t)
{
    size_t cap;
    uint8_t *bytes = link_buffer(t->links, &cap);

    while (mux_wants_send(t->mux)) {
        if (!link_can_send(t->link)) {
            return 0;
        }
        size_t len = mux_pull(t->mux, bytes, cap, now_ms(t));
        if (len == 0) {
            return 0;
        }
        if (link_send(t->link, len) != 0) {
            return ERROR_CLOSED;
        }
    }
    return 0;
}

/* What more there soon will be shares the message. */
static int flush_later(struct tunnel *t)
{
    if (link_can_send(t->link) && mux_expects_more(t->mux, now_ms(t))) {
        link_look_again(t->link);
        return 0;
    }
    return flush(t);
}

static void close_link(struct tunnel *t, uint16_t code)
{
    mux_close(t->mux);
    tunnel_fail_calls(t);
    link_finish(t->link, code);
    tunnel_enter(t, TUNNEL_CLOSING, LINK_FINISH_MS);
}

/* PROTOCOL.md section 10: the GOAWAY that the mux has queued, then the fault as close code. */
static void fail(struct tunnel *t)
{
    enum mux_fault fault = mux_fault(t->mux);
    struct error_text e;

    if (fault == MUX_FAULT_TIMEOUT) {
        note(t, lost_class(t),
             t->up_ms == 0 ? "relay did not greet in time" : "relay does not answer any more");
        end(t); /* nothing that we send would arrive */
        return;
    }
    (void)error_set(&e, ERROR_PEER, "tunnel protocol broken: %s", mux_fault_name(fault));
    note(t, fault == MUX_FAULT_VERSION ? RETRY_REFUSED : lost_class(t), e.text);
    if (flush(t) != 0) {
        end(t);
        return;
    }
    close_link(t, (uint16_t)(MUX_CLOSE_BASE + fault));
}

/* No request is left and none will come. */
static bool drained(const struct tunnel *t)
{
    return t->state == TUNNEL_DRAINING && mux_n_streams(t->mux) == 0 &&
           (t->goaway_seen || now_ms(t) >= t->answer_ms) && !mux_wants_send(t->mux) &&
           link_can_send(t->link);
}

/* on_up and on_goaway. False if the owner ended the tunnel. */
static bool tell_owner(struct tunnel *t)
{
    if (t->up_pending) {
        t->up_pending = false;
        t->callbacks.on_up(t->user, t, &t->peer);
    }
    if (t->state != TUNNEL_GONE && t->goaway_pending) {
        t->goaway_pending = false;
        t->callbacks.on_goaway(t->user, t, t->goaway_reason, t->retry_after_ms);
    }
    return t->state != TUNNEL_GONE;
}

static void on_turn(void *user)
{
    struct tunnel *t = user;

    if (t->state == TUNNEL_CLOSING || !tell_owner(t)) {
        return;
    }
    if (mux_fault(t->mux) != MUX_FAULT_NONE) {
        fail(t);
    } else if (flush_later(t) != 0) {
        note(t, lost_class(t), "the connection was lost");
        end(t);
    } else if (drained(t)) {
        note(t, RETRY_MOVED, "all requests are answered");
        close_link(t, LINK_CLOSE_GOING_AWAY);
    }
    if (t->state != TUNNEL_GONE) {
        arm(t);
    }
}

static bool stalled(const struct tunnel *t)
{
    return now_ms(t) > t->armed_ms && now_ms(t) - t->armed_ms > TUNNEL_STALL_MS;
}

/* What it finds wrong is handled in on_turn, outside the link's event. */
static int on_bytes(void *user, const uint8_t *bytes, size_t len)
{
    struct tunnel *t = user;

    if (t->state == TUNNEL_CLOSING || mux_fault(t->mux) != MUX_FAULT_NONE) {
        return 0;
    }
    if (stalled(t)) {
        note(t, lost_class(t), "this process stood still; the relay has given the tunnel up");
        return -1;
    }
    (void)mux_recv(t->mux, bytes, len, now_ms(t));
    return 0;
}

static int on_message_end(void *user)
{
    struct tunnel *t = user;

    if (t->state != TUNNEL_CLOSING && mux_fault(t->mux) == MUX_FAULT_NONE) {
        (void)mux_recv_end(t->mux, now_ms(t));
    }
    return 0;
}

bool tunnel_is_heard(const struct tunnel *t)
{
    return t->state == TUNNEL_OPEN && link_silent_in_ms(t->link) > 0;
}

/* The owner may end the tunnel. */
static void watch_line(struct tunnel *t)
{
    bool was_silent = t->silent;

    if (t->state != TUNNEL_OPEN) {
        return;
    }
    uint32_t silent_in_ms = link_silent_in_ms(t->link);
    t->silent = silent_in_ms == 0;
    if (silent_in_ms > TUNNEL_ASK_MS) {
        t->watch_ms = now_ms(t) + silent_in_ms - TUNNEL_ASK_MS;
    } else {
        mux_ask(t->mux, now_ms(t));
        t->watch_ms = now_ms(t) + (t->silent ? TUNNEL_LISTEN_MS : silent_in_ms);
    }
    if (t->silent && !was_silent) {
        t->callbacks.on_silent(t->user, t);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct tunnel *t = timer->data;
    bool stood_still = stalled(t);

    if (now_ms(t) >= t->deadline_ms) {
        note(t, lost_class(t),
             t->state == TUNNEL_CONNECTING ? "relay did not finish the upgrade in time"
                                           : "the tunnel was closed when its time was up");
        end(t);
        return;
    }
    if (t->mux != NULL && t->state != TUNNEL_CLOSING) {
        if (stood_still) {
            note(t, lost_class(t), "this process stood still; the relay has given the tunnel up");
            end(t);
            return;
        }
        if (mux_tick(t->mux, now_ms(t)) != 0) {
            fail(t);
        } else {
            watch_line(t);
        }
    }
    if (t->state != TUNNEL_GONE) {
        arm(t);
    }
}

static void on_open(void *user)
{
    struct tunnel *t = user;
    struct mux_settings settings = mux_default_settings(MUX_AGENT, "thinknx-agent/" TNX_VERSION);

    settings.capabilities = HEAD_CAPABILITY_DEVICES;
    tunnel_enter(t, TUNNEL_GREETING, 0); /* the mux has a deadline for it */
    t->mux = mux_new(&settings, &tunnel_mux_events, t, now_ms(t));
    if (t->mux == NULL) {
        note(t, RETRY_FAILED, "no memory for the tunnel");
        end(t);
        return;
    }
    arm(t);
}

/* RFC 6455 section 7.4, and PROTOCOL.md section 10. */
static void note_peer_close(struct tunnel *t, const struct link_end *ended)
{
    struct error_text e;

    if (ended->close_code > MUX_CLOSE_BASE) {
        (void)error_set(&e, ERROR_PEER, "relay closed the tunnel: %s",
                        mux_fault_name((enum mux_fault)(ended->close_code - MUX_CLOSE_BASE)));
    } else {
        (void)error_set(&e, ERROR_CLOSED, "relay closed the tunnel (code %u)",
                        (unsigned)ended->close_code);
    }
    note(t, ended->close_code == MUX_CLOSE_BASE + MUX_FAULT_VERSION ? RETRY_REFUSED : lost_class(t),
         e.text);
}

static void on_closed(void *user, const struct link_end *ended)
{
    struct tunnel *t = user;

    t->link = NULL;
    if (ended->failure == LINK_REFUSED) {
        note(t, RETRY_REFUSED, ended->reason);
    } else if (ended->failure == LINK_PEER_CLOSED) {
        note_peer_close(t, ended);
    } else if (ended->failure == LINK_UNREACHED) {
        note(t, unreached_class(t), ended->reason);
    } else {
        note(t, lost_class(t), ended->reason);
    }
    (void)tell_owner(t); /* a goaway may have come in the last bytes */
    if (t->state != TUNNEL_GONE) {
        end(t);
    }
}

int tunnel_open(const struct tunnel_settings *settings, const struct tunnel_callbacks *callbacks,
                void *user, struct tunnel **tunnel, struct error_text *e)
{
    static const struct link_callbacks link_callbacks = {
        .on_open = on_open,
        .on_bytes = on_bytes,
        .on_message_end = on_message_end,
        .on_turn = on_turn,
        .on_closed = on_closed,
    };
    struct tunnel *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    t->loop = settings->loop;
    t->links = settings->links;
    t->drain_ms = settings->drain_ms;
    t->proxied = settings->target->proxied;
    t->streams = settings->streams;
    t->streams_user = settings->streams_user;
    t->callbacks = *callbacks;
    t->user = user;
    list_init(&t->calls);
    tunnel_enter(t, TUNNEL_CONNECTING, LINK_OPEN_MS);
    int rc = link_open(settings->lane, settings->target, &link_callbacks, t, &t->link, e);
    if (rc != 0) {
        free(t);
        return rc;
    }
    (void)uv_timer_init(t->loop, &t->timer); /* cannot fail */
    t->timer.data = t;
    arm(t);
    *tunnel = t;
    return 0;
}

void tunnel_drain(struct tunnel *t)
{
    if (t->state == TUNNEL_OPEN || t->state == TUNNEL_GREETING) {
        t->answer_ms = now_ms(t) + TUNNEL_GOAWAY_MS;
        tunnel_enter(t, TUNNEL_DRAINING, t->drain_ms);
        arm(t);
    }
    if (t->state == TUNNEL_DRAINING) {
        mux_goaway(t->mux, HEAD_GOAWAY_SHUTDOWN, 0);
    }
}

void tunnel_abort(struct tunnel *t)
{
    if (t->link != NULL) {
        link_abort(t->link);
        t->link = NULL;
    }
    let_go(t);
}

void tunnel_read_stats(const struct tunnel *t, struct tunnel_stats *s)
{
    *s = (struct tunnel_stats){.generation = t->generation};
    if (t->mux != NULL && t->state != TUNNEL_CLOSING) {
        s->n_streams = (uint32_t)mux_n_streams(t->mux);
        /* As the relay has it (relay/tunnel/tunnel_events.c): pings are rare and count in ms. */
        uint32_t ping_us = mux_rtt_us(t->mux);
        uint32_t kernel_us = t->link != NULL ? link_rtt_us(t->link) : 0;
        s->rtt_us = ping_us > kernel_us ? ping_us : kernel_us;
    }
}
