/* SPDX-License-Identifier: Apache-2.0 */
/* What the mux of a tunnel tells: streams go to the router, control calls to the store, and probes
 * (streams of our own, with no exchange behind them) to the board. */
#include "relay/tunnel/tunnel.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/log.h"
#include "proto/base/random.h"
#include "relay/router.h"
#include "relay/tunnel/tunnel_internal.h"
#include "relay/worker.h"

/* ---- probes: streams of our own, with no exchange behind them ---- */

/* Pings are counted in milliseconds, and there is none on a tunnel that is never idle; the kernel
 * counts finer, but sees no farther than a proxy on the way. The larger one is to be believed. */
static uint32_t round_trip_us(const struct tunnel *t)
{
    uint32_t ping_us = mux_rtt_us(t->mux);
    uint32_t kernel_us = conn_rtt_us(t->conn);
    return ping_us > kernel_us ? ping_us : kernel_us;
}

static void end_probe(struct tunnel *t, bool answered, uint32_t server_us, const char *reason)
{
    probe_ended(&t->probe, random_u64(), worker_now_ms(t->worker));
    board_probe(t->worker->relay->board, t->server, t->number, answered, server_us,
                round_trip_us(t), reason);
}

static void send_probe(struct tunnel *t, uint64_t now_ms)
{
    struct head_request head = {
        .method = HEAD_METHOD_GET,
        .deadline_ms = PROBE_DEADLINE_MS,
        .path = span_of(PROBE_PATH),
        .request_id = span_of("probe"),
    };
    uint32_t stream = 0;
    if (mux_request(t->mux, &head, NULL, tunnel_pointer_of(0), &stream, now_ms) == 0) {
        probe_started(&t->probe, stream, now_ms);
    } else {
        probe_ended(&t->probe, random_u64(), now_ms); /* full of real calls: those tell as much */
    }
}

void tunnel_tick_probe(struct tunnel *t, uint64_t now_ms)
{
    if (t->state != TUNNEL_UP) {
        return;
    }
    if (probe_is_late(&t->probe, now_ms)) {
        mux_reset(t->mux, t->probe.stream, HEAD_RESET_DEADLINE, HEAD_DELIVERED_UNKNOWN);
        end_probe(t, false, 0, "server_timeout");
    }
    if (probe_is_due(&t->probe, now_ms)) {
        send_probe(t, now_ms);
    }
}

/* A real call was answered: as good as a probe, and told to the board as often as one. */
static void note_answer(struct tunnel *t, uint32_t server_us)
{
    if (probe_is_due(&t->probe, worker_now_ms(t->worker))) {
        end_probe(t, true, server_us, NULL);
    }
}

/* ---- events of the mux ---- */

static void tell_old_tunnel(struct tunnel *t, tunnel_ref old)
{
    struct worker *w = t->worker;
    metrics_add(&w->metrics.tunnels_replaced, 1);
    struct tunnel *mine = ref_worker(old) == w->index ? tunnel_find(w, old) : NULL;
    if (mine != NULL) {
        tunnel_replace(mine);
    }
}

static void announce(struct tunnel *t)
{
    struct link_message *m = link_message_new(LINK_TUNNEL_UP, 0);
    if (m != NULL) {
        m->server = t->server;
        m->tunnel = t->ref;
    }
    if (worker_broadcast(t->worker->relay, m) != 0) {
        tunnel_doom(t, WEBSOCKET_CLOSE_GOING_AWAY, "out of memory");
    }
}

/* A tunnel that comes too late is told why, so that its agent waits as that demands. */
static void turn_away(struct tunnel *t, enum head_goaway goaway, const char *why)
{
    mux_goaway(t->mux, goaway, 0);
    tunnel_doom(t, WEBSOCKET_CLOSE_GOING_AWAY, why);
}

static void on_ready(void *user, const struct mux_peer *peer)
{
    struct tunnel *t = user;
    struct worker *w = t->worker;
    enum head_goaway goaway = HEAD_GOAWAY_DISABLED;
    const char *objection = tunnel_objection(t, &goaway);
    tunnel_ref old = 0;
    if (objection != NULL) {
        turn_away(t, goaway, objection);
        return;
    }
    if (w->draining) {
        turn_away(t, HEAD_GOAWAY_SHUTDOWN, "relay drains");
        return;
    }
    if (!registry_up(&w->registry, t->server, t->ref, worker_now_ms(w), &old)) {
        turn_away(t, HEAD_GOAWAY_REPLACED, "a newer tunnel is up");
        return;
    }
    t->state = TUNNEL_UP;
    t->up_ms = worker_now_ms(w);
    memcpy(t->software, peer->software, sizeof(t->software));
    t->software[sizeof(t->software) - 1] = '\0';
    metrics_add(&w->metrics.tunnels_opened, 1);
    log_event(LOG_LEVEL_INFO, "tunnel up", log_text("serial", t->serial),
              log_uint("tunnel", t->number), log_text("address", t->address),
              log_text("agent", t->software), log_uint("version", peer->version),
              log_bool("replaced", old != 0));
    board_tunnel_up(w->relay->board, t->server, t->serial, t->number, t->address, peer);
    probe_init(&t->probe, w->settings.probe_ms, t->up_ms);
    if (old != 0) {
        tell_old_tunnel(t, old);
    }
    announce(t);
    tunnel_tick_probe(t, t->up_ms);
}

static void on_handed(void *user, uint32_t stream, void *stream_user)
{
    (void)stream;
    struct tunnel *t = user;
    if (tunnel_ref_of(stream_user) != 0) {
        router_handed(t->worker, tunnel_ref_of(stream_user));
    }
}

static void on_response(void *user, uint32_t stream, void *stream_user,
                        const struct head_response *head, bool end_of_stream)
{
    (void)stream;
    struct tunnel *t = user;
    if (tunnel_ref_of(stream_user) == 0) {
        end_probe(t, true, head->server_us, NULL);
        return;
    }
    note_answer(t, head->server_us);
    metrics_observe(&t->worker->metrics.upstream, head->server_us);
    router_head(t->worker, tunnel_ref_of(stream_user), head, end_of_stream);
}

static void on_data(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                    size_t len, bool end_of_stream)
{
    struct tunnel *t = user;
    if (tunnel_ref_of(stream_user) == 0) {
        mux_consume(t->mux, stream, len);
        return;
    }
    router_data(t->worker, tunnel_ref_of(stream_user), t->ref, stream, bytes, len, end_of_stream);
}

static void on_reset(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                     enum head_delivered delivered)
{
    (void)stream;
    struct tunnel *t = user;
    if (tunnel_ref_of(stream_user) == 0) {
        end_probe(t, false, 0, head_reset_name((uint16_t)reason));
        return;
    }
    probe_suspect(&t->probe, worker_now_ms(t->worker));
    router_failed(t->worker, tunnel_ref_of(stream_user), reason, delivered);
}

static void on_goaway(void *user, enum head_goaway reason, uint32_t retry_after_ms)
{
    (void)retry_after_ms;
    struct tunnel *t = user;
    log_event(LOG_LEVEL_INFO, "agent drains", log_text("serial", t->serial),
              log_uint("tunnel", t->number), log_text("reason", head_goaway_name(reason)));
    tunnel_unregister(t, "agent drains");
    if (t->state == TUNNEL_UP) {
        t->state = TUNNEL_RETIRING;
        t->retiring = true;
    } else if (!t->replaced) {
        return;
    }
    /* A replaced one too: its agent has made the newer one itself, and finishes what is here. */
    t->retire_by_ms = worker_now_ms(t->worker) + t->worker->settings.drain_ms;
}

/* The reply comes from the store's thread; it is handed to the tunnel's worker by message. */
struct control_call {
    struct relay *relay;
    tunnel_ref tunnel;
    uint32_t id;
};

static void on_control_done(void *user, uint16_t status, struct span body)
{
    struct control_call *call = user;
    struct link_message *m = link_message_new(LINK_CONTROL, body.len);
    if (m != NULL) {
        m->tunnel = call->tunnel;
        m->stream = call->id;
        m->number = status;
        if (body.len > 0) {
            memcpy(m->bytes, body.p, body.len);
        }
        link_post(&call->relay->workers[ref_worker(call->tunnel)].link, m);
    }
    free(call);
}

static void on_control(void *user, uint32_t id, uint16_t op, struct span body)
{
    struct tunnel *t = user;
    struct control_call *call = malloc(sizeof(*call));
    if (call != NULL) {
        *call = (struct control_call){t->worker->relay, t->ref, id};
        if (store_control(t->worker->relay->store, t->server, op, body, on_control_done, call) ==
            0) {
            return;
        }
        free(call);
    }
    (void)mux_control_reply(t->mux, id, HEAD_CONTROL_FAILED,
                            span_of("{\"error\":\"busy, try again\"}"));
    tunnel_mark_dirty(t);
}

const struct mux_events tunnel_mux_events = {
    .on_ready = on_ready,
    .on_handed = on_handed,
    .on_response = on_response,
    .on_data = on_data,
    .on_reset = on_reset,
    .on_goaway = on_goaway,
    .on_control = on_control,
};
