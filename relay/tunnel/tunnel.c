/* SPDX-License-Identifier: Apache-2.0 */
/* One agent's connection.
 *
 * Happy path: conn -> websocket_feed -> mux_recv -> events -> router; and the other way: requests
 * make the tunnel dirty, and once per turn of the loop tunnel_flush pulls one message for all that
 * gathered, wraps it in one websocket frame and writes it with one system call.
 *
 * It ends by the peer's close, a fault, silence, a newer tunnel of the same server, or the server's
 * removal; always through `end`, which first takes it out of the registry (so that nothing is
 * routed to it any more) and then fails its streams. Events of the mux may not end it themselves:
 * they set `doomed`, and who called the mux looks. */
#include "relay/tunnel/tunnel.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/random.h"
#include "relay/front/exchange.h"
#include "relay/router.h"
#include "relay/tunnel/probe.h"
#include "relay/tunnel/websocket.h"
#include "relay/worker.h"

/* How often liveness is looked at. */
#define TICK_MS 1000
/* Longest address text: an IPv6 address with port. */
#define ADDRESS_BYTES 64

enum tunnel_state {
    TUNNEL_GREETING, /* waits for HELLO */
    TUNNEL_UP,       /* registered: requests are routed to it */
    TUNNEL_RETIRING, /* not registered any more, finishes what is in flight */
    TUNNEL_ENDED     /* the connection is closing */
};

struct tunnel {
    struct worker *worker;
    struct conn *conn; /* owned */
    struct websocket *websocket;
    struct mux *mux;
    tunnel_ref ref;
    uint64_t number;
    int64_t server;
    enum tunnel_state state;
    uint16_t doomed; /* close code to end with; 0 = live */
    const char *doom_reason;
    bool dirty;
    bool feeding;  /* inside mux_recv */
    bool retiring; /* tunnel_retire was called */
    uint64_t opened_ms;
    uint64_t up_ms;
    uint64_t retire_by_ms;
    struct list node;       /* worker->tunnels */
    struct list dirty_node; /* worker->dirty_tunnels */
    struct wheel_timer tick;
    struct probe probe;
    char serial[DIRECTORY_SERIAL_BYTES];
    char address[ADDRESS_BYTES];
    char software[64];
};

/* An exchange's reference is kept in the stream's user pointer: nothing to allocate or free. */
static void *pointer_of(exchange_ref ref)
{
    return (void *)(uintptr_t)ref;
}

static exchange_ref ref_of(void *stream_user)
{
    return (exchange_ref)(uintptr_t)stream_user;
}

_Static_assert(sizeof(void *) >= sizeof(exchange_ref), "the relay needs 64-bit pointers");

static void mark_dirty(struct tunnel *t)
{
    if (!t->dirty && t->state != TUNNEL_ENDED) {
        t->dirty = true;
        list_push(&t->worker->dirty_tunnels, &t->dirty_node);
    }
}

static void doom(struct tunnel *t, uint16_t code, const char *reason)
{
    if (t->doomed == 0) {
        t->doomed = code;
        t->doom_reason = reason;
    }
}

/* ---- the end ---- */

static void unregister(struct tunnel *t, const char *reason)
{
    if (t->state != TUNNEL_UP) {
        return;
    }
    struct worker *w = t->worker;
    registry_down(&w->registry, t->server, t->ref, worker_now_ms(w));
    board_tunnel_down(w->relay->board, t->server, t->number, reason);
    struct link_message *m = link_message_new(LINK_TUNNEL_DOWN, 0);
    if (m != NULL) {
        m->server = t->server;
        m->tunnel = t->ref;
        worker_broadcast(w->relay, m);
    }
}

static void send_close(struct tunnel *t, uint16_t code)
{
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    struct buffer *frame = &t->worker->frame;
    buffer_clear(frame);
    if (websocket_pack(frame, WEBSOCKET_CLOSE, payload, sizeof(payload)) == 0) {
        (void)conn_write(t->conn, buffer_bytes(frame), frame->len);
    }
}

/* `code` 0: the connection is gone already. */
static void end(struct tunnel *t, uint16_t code, const char *reason)
{
    if (t->state == TUNNEL_ENDED) {
        return;
    }
    bool was_up = t->state != TUNNEL_GREETING;
    unregister(t, reason);
    t->state = TUNNEL_ENDED;
    list_remove(&t->dirty_node);
    wheel_cancel(&t->tick);
    size_t n_streams = mux_n_streams(t->mux);
    log_event(LOG_LEVEL_INFO, "tunnel closed", log_text("serial", t->serial),
              log_uint("tunnel", t->number), log_text("address", t->address),
              log_text("reason", reason), log_bool("was_up", was_up),
              log_uint("streams", n_streams),
              log_uint("seconds", (worker_now_ms(t->worker) - t->opened_ms) / 1000));
    metrics_subtract(&t->worker->metrics.tunnels_open, 1);
    metrics_add(&t->worker->metrics.tunnels_lost, 1);
    mux_close(t->mux);
    if (code != 0) {
        send_close(t, code);
        conn_finish(t->conn);
    } else {
        conn_close(t->conn);
    }
}

static void on_closed(struct conn *c)
{
    struct tunnel *t = c->user;
    end(t, 0, "connection closed");
    struct worker *w = t->worker;
    map_remove(&w->tunnels_by_number, &t->number, sizeof(t->number));
    list_remove(&t->node);
    mux_free(t->mux);
    websocket_free(t->websocket);
    atomic_fetch_sub(&w->relay->n_connections, 1);
    free(t->conn);
    free(t);
}

static void end_if_doomed(struct tunnel *t)
{
    if (t->doomed != 0) {
        end(t, t->doomed, t->doom_reason);
    }
}

/* ---- sending ---- */

/* One message. False when there is nothing more to send, or no room for it now. */
static bool send_message(struct tunnel *t)
{
    struct buffer *frame = &t->worker->frame;
    uint8_t *room = NULL;
    buffer_clear(frame);
    size_t cap = FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX;
    if (buffer_reserve(frame, WEBSOCKET_HEADER_BYTES_MAX + cap, &room) < 0) {
        return false;
    }
    uint8_t *payload = room + WEBSOCKET_HEADER_BYTES_MAX;
    size_t len = mux_pull(t->mux, payload, cap, worker_now_ms(t->worker));
    if (len == 0) {
        return false;
    }
    uint8_t header[WEBSOCKET_HEADER_BYTES_MAX];
    size_t header_len = websocket_pack_header(header, len);
    memcpy(payload - header_len, header, header_len);
    return conn_write(t->conn, payload - header_len, header_len + len) == 0;
}

static void flush(struct tunnel *t)
{
    while (t->state != TUNNEL_ENDED && mux_wants_send(t->mux) &&
           conn_pending(t->conn) < TUNNEL_PENDING_BYTES) {
        if (!send_message(t)) {
            return;
        }
    }
}

void tunnel_flush_dirty(struct worker *w)
{
    struct list *node = NULL;
    while ((node = list_pop(&w->dirty_tunnels)) != NULL) {
        struct tunnel *t = LIST_ITEM(node, struct tunnel, dirty_node);
        t->dirty = false;
        flush(t);
    }
}

static void on_drain(struct conn *c)
{
    flush(c->user);
}

/* ---- probes: streams of our own, with no exchange behind them ---- */

static void end_probe(struct tunnel *t, bool answered, uint32_t server_us, const char *reason)
{
    probe_ended(&t->probe, random_u64(), worker_now_ms(t->worker));
    board_probe(t->worker->relay->board, t->server, t->number, answered, server_us,
                mux_rtt_us(t->mux), reason);
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
    if (mux_request(t->mux, &head, NULL, pointer_of(0), &stream, now_ms) == 0) {
        probe_started(&t->probe, stream, now_ms);
    } else {
        probe_ended(&t->probe, random_u64(), now_ms); /* full of real calls: those tell as much */
    }
}

static void tick_probe(struct tunnel *t, uint64_t now_ms)
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
    if (m == NULL) {
        doom(t, WEBSOCKET_CLOSE_GOING_AWAY, "out of memory");
        return;
    }
    m->server = t->server;
    m->tunnel = t->ref;
    worker_broadcast(t->worker->relay, m);
}

static void on_ready(void *user, const struct mux_peer *peer)
{
    struct tunnel *t = user;
    struct worker *w = t->worker;
    const struct directory_server *server = directory_find_server(w->reader, t->server);
    tunnel_ref old = 0;
    if (server == NULL || !server->enabled) {
        mux_goaway(t->mux, HEAD_GOAWAY_DISABLED, 0);
        doom(t, WEBSOCKET_CLOSE_GOING_AWAY, "server disabled");
        return;
    }
    if (w->draining || !registry_up(&w->registry, t->server, t->ref, worker_now_ms(w), &old)) {
        doom(t, WEBSOCKET_CLOSE_GOING_AWAY, "a newer tunnel is up, or the relay drains");
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
    board_tunnel_up(w->relay->board, t->server, t->serial, t->number, t->address, t->software);
    probe_init(&t->probe, w->settings.probe_ms, t->up_ms);
    if (old != 0) {
        tell_old_tunnel(t, old);
    }
    announce(t);
    tick_probe(t, t->up_ms);
}

static void on_handed(void *user, uint32_t stream, void *stream_user)
{
    (void)stream;
    struct tunnel *t = user;
    if (ref_of(stream_user) != 0) {
        router_handed(t->worker, ref_of(stream_user));
    }
}

static void on_response(void *user, uint32_t stream, void *stream_user,
                        const struct head_response *head, bool end_of_stream)
{
    (void)stream;
    struct tunnel *t = user;
    if (ref_of(stream_user) == 0) {
        end_probe(t, true, head->server_us, NULL);
        return;
    }
    note_answer(t, head->server_us);
    metrics_observe(&t->worker->metrics.upstream, head->server_us);
    router_head(t->worker, ref_of(stream_user), head, end_of_stream);
}

static void on_data(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                    size_t len, bool end_of_stream)
{
    struct tunnel *t = user;
    if (ref_of(stream_user) == 0) {
        mux_consume(t->mux, stream, len);
        return;
    }
    router_data(t->worker, ref_of(stream_user), t->ref, stream, bytes, len, end_of_stream);
}

static void on_reset(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                     enum head_delivered delivered)
{
    (void)stream;
    struct tunnel *t = user;
    if (ref_of(stream_user) == 0) {
        end_probe(t, false, 0, head_reset_name((uint16_t)reason));
        return;
    }
    router_failed(t->worker, ref_of(stream_user), reason, delivered);
}

static void on_goaway(void *user, enum head_goaway reason, uint32_t retry_after_ms)
{
    (void)retry_after_ms;
    struct tunnel *t = user;
    log_event(LOG_LEVEL_INFO, "agent drains", log_text("serial", t->serial),
              log_uint("tunnel", t->number), log_text("reason", head_goaway_name(reason)));
    unregister(t, "agent drains");
    if (t->state == TUNNEL_UP) {
        t->state = TUNNEL_RETIRING;
        t->retiring = true;
        t->retire_by_ms = worker_now_ms(t->worker) + t->worker->settings.drain_ms;
    }
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
    (void)mux_control_reply(t->mux, id, 503, span_of("{\"error\":\"busy, try again\"}"));
    mark_dirty(t);
}

static const struct mux_events events = {
    .on_ready = on_ready,
    .on_handed = on_handed,
    .on_response = on_response,
    .on_data = on_data,
    .on_reset = on_reset,
    .on_goaway = on_goaway,
    .on_control = on_control,
};

/* ---- receiving ---- */

static int on_bytes(void *user, const uint8_t *bytes, size_t len)
{
    struct tunnel *t = user;
    return mux_recv(t->mux, bytes, len, worker_now_ms(t->worker));
}

static int on_message_end(void *user)
{
    struct tunnel *t = user;
    return mux_recv_end(t->mux, worker_now_ms(t->worker));
}

static void on_ping(void *user, const uint8_t *payload, size_t len)
{
    struct tunnel *t = user;
    struct buffer *frame = &t->worker->frame;
    buffer_clear(frame);
    if (websocket_pack(frame, WEBSOCKET_PONG, payload, len) < 0 ||
        conn_pending(t->conn) > TUNNEL_PENDING_BYTES ||
        conn_write(t->conn, buffer_bytes(frame), frame->len) < 0) {
        doom(t, WEBSOCKET_CLOSE_PROTOCOL, "pings are not answered any more");
    }
}

static void on_peer_close(void *user, uint16_t code)
{
    (void)code;
    doom(user, WEBSOCKET_CLOSE_NORMAL, "closed by the agent");
}

static void feed(struct tunnel *t, const uint8_t *bytes, size_t len)
{
    t->feeding = true;
    int err = websocket_feed(t->websocket, bytes, len);
    t->feeding = false;
    exchange_flush_assembled(t->worker);
    if (mux_fault(t->mux) != MUX_FAULT_NONE) {
        enum mux_fault fault = mux_fault(t->mux);
        doom(t, (uint16_t)(WEBSOCKET_CLOSE_FAULT + (unsigned)fault), mux_fault_name(fault));
    } else if (err > 0) {
        doom(t, (uint16_t)err, "broke the websocket protocol");
    }
    if (t->state == TUNNEL_RETIRING && mux_n_streams(t->mux) == 0) {
        doom(t, WEBSOCKET_CLOSE_GOING_AWAY, "drained");
    }
    mark_dirty(t);
    end_if_doomed(t);
}

static void on_read(struct conn *c, const uint8_t *bytes, size_t len)
{
    struct tunnel *t = c->user;
    if (t->state != TUNNEL_ENDED) {
        feed(t, bytes, len);
    }
}

static void on_end(struct conn *c, enum conn_end how)
{
    (void)how;
    end(c->user, 0, "connection lost");
}

static const struct conn_callbacks conn_callbacks = {
    .on_read = on_read,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_closed = on_closed,
};

static void on_tick(struct wheel_timer *timer)
{
    struct tunnel *t = LIST_ITEM(timer, struct tunnel, tick);
    uint64_t now_ms = worker_now_ms(t->worker);
    wheel_set(&t->worker->wheel, timer, now_ms + TICK_MS);
    tick_probe(t, now_ms);
    if (mux_tick(t->mux, now_ms) < 0) {
        enum mux_fault fault = mux_fault(t->mux);
        doom(t, (uint16_t)(WEBSOCKET_CLOSE_FAULT + (unsigned)fault), mux_fault_name(fault));
    }
    if (t->state == TUNNEL_RETIRING && (mux_n_streams(t->mux) == 0 || now_ms >= t->retire_by_ms)) {
        doom(t, WEBSOCKET_CLOSE_GOING_AWAY, "drained");
    }
    mark_dirty(t);
    end_if_doomed(t);
}

/* ---- life ---- */

static struct mux *make_mux(struct tunnel *t)
{
    const struct worker *w = t->worker;
    struct mux_settings s = mux_default_settings(MUX_RELAY, w->relay->software);
    s.generation = t->number;
    s.max_streams = w->settings.in_flight_per_server;
    s.ping_idle_ms = w->settings.ping_idle_ms;
    s.reply_deadline_ms = w->settings.reply_deadline_ms;
    return mux_new(&s, &events, t, worker_now_ms(w));
}

static int make_parts(struct tunnel *t)
{
    static const struct websocket_callbacks callbacks = {on_bytes, on_message_end, on_ping,
                                                         on_peer_close};
    t->websocket = websocket_new(&callbacks, t);
    t->mux = make_mux(t);
    if (t->websocket == NULL || t->mux == NULL) {
        return ERROR_NOMEM;
    }
    return map_put(&t->worker->tunnels_by_number, &t->number, sizeof(t->number), t);
}

static void on_unused_closed(struct conn *c)
{
    struct worker *w = c->user;
    atomic_fetch_sub(&w->relay->n_connections, 1);
    free(c);
}

static const struct conn_callbacks unused_callbacks = {.on_closed = on_unused_closed};

int tunnel_open(struct worker *w, struct conn *conn, const struct directory_server *server,
                const char *address, struct span rest)
{
    struct tunnel *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        goto fail;
    }
    t->worker = w;
    t->conn = conn;
    t->number = atomic_fetch_add(&w->relay->next_tunnel, 1) + 1;
    t->ref = ref_tunnel(w->index, t->number);
    t->server = server->id;
    t->opened_ms = worker_now_ms(w);
    memcpy(t->serial, server->serial, sizeof(t->serial));
    (void)span_copy(span_of(address), t->address, sizeof(t->address));
    list_init(&t->dirty_node);
    wheel_timer_init(&t->tick, on_tick);
    if (make_parts(t) < 0) {
        goto fail;
    }
    list_push(&w->tunnels, &t->node);
    conn_take_over(conn, &conn_callbacks, t);
    wheel_set(&w->wheel, &t->tick, t->opened_ms + TICK_MS);
    metrics_add(&w->metrics.tunnels_open, 1);
    mark_dirty(t);
    if (rest.len > 0) {
        feed(t, (const uint8_t *)rest.p, rest.len);
    }
    return 0;

fail:
    if (t != NULL) {
        mux_free(t->mux);
        websocket_free(t->websocket);
        free(t);
    }
    conn_take_over(conn, &unused_callbacks, w);
    conn_close(conn);
    return ERROR_NOMEM;
}

struct tunnel *tunnel_find(struct worker *w, tunnel_ref ref)
{
    uint64_t number = ref_number(ref);
    struct tunnel *t = map_get(&w->tunnels_by_number, &number, sizeof(number));
    return t != NULL && t->state != TUNNEL_ENDED ? t : NULL;
}

int tunnel_request(struct tunnel *t, exchange_ref exchange, const struct head_request *head,
                   struct span body, uint32_t *stream)
{
    if (t->state != TUNNEL_UP) {
        return ERROR_STATE;
    }
    int err =
        mux_request(t->mux, head, body.p, pointer_of(exchange), stream, worker_now_ms(t->worker));
    mark_dirty(t);
    return err;
}

void tunnel_reset(struct tunnel *t, uint32_t stream, enum head_reset reason)
{
    mux_reset(t->mux, stream, reason, HEAD_DELIVERED_UNKNOWN);
    mark_dirty(t);
}

void tunnel_consumed(struct tunnel *t, uint32_t stream, size_t len)
{
    mux_consume(t->mux, stream, len);
    mark_dirty(t);
}

void tunnel_control_reply(struct tunnel *t, uint32_t call, uint16_t status, struct span body)
{
    (void)mux_control_reply(t->mux, call, status, body);
    mark_dirty(t);
}

void tunnel_retire(struct tunnel *t, enum head_goaway reason, bool at_once, uint32_t limit_ms)
{
    if (t->state == TUNNEL_ENDED || (t->retiring && !at_once)) {
        return;
    }
    t->retiring = true;
    unregister(t, head_goaway_name(reason));
    if (t->state != TUNNEL_GREETING) {
        t->state = TUNNEL_RETIRING;
    }
    mux_goaway(t->mux, reason, 0);
    t->retire_by_ms = worker_now_ms(t->worker) + limit_ms;
    if (at_once) {
        flush(t);
        doom(t, WEBSOCKET_CLOSE_GOING_AWAY, head_goaway_name(reason));
        if (!t->feeding) {
            end_if_doomed(t);
        }
        return;
    }
    mark_dirty(t);
}

void tunnel_replace(struct tunnel *t)
{
    t->state =
        t->state == TUNNEL_UP ? TUNNEL_RETIRING : t->state; /* not in the registry any more */
    tunnel_retire(t, HEAD_GOAWAY_REPLACED, false, TUNNEL_REPLACED_MS);
}

void tunnel_kill(struct tunnel *t)
{
    end(t, 0, "relay stops");
    conn_close(t->conn);
}

struct tunnel *tunnel_of(struct list *node)
{
    return LIST_ITEM(node, struct tunnel, node);
}

void tunnel_describe(const struct tunnel *t, struct tunnel_info *info)
{
    *info = (struct tunnel_info){
        .server = t->server,
        .serial = t->serial,
        .address = t->address,
        .software = t->software,
        .number = t->number,
        .up_ms = t->up_ms,
        .rtt_us = mux_rtt_us(t->mux),
        .n_streams = mux_n_streams(t->mux),
    };
}
