/* SPDX-License-Identifier: Apache-2.0 */
/* One agent's connection.
 *
 * Happy path: conn -> websocket_feed -> mux_recv -> events -> router; and the other way: requests
 * make the tunnel dirty, and before the loop sleeps tunnel_flush_dirty pulls one message for all
 * that gathered, wraps it in one websocket frame and writes it with one system call. Under load the
 * loop looks for more before that.
 *
 * It ends by the peer's close, a fault, silence, a newer tunnel of the same server, or the server's
 * removal; always through `end`, which first takes it out of the registry (so that nothing is
 * routed to it any more) and then fails its streams. Events of the mux may not end it themselves:
 * they set `doomed`, and who called the mux looks. */
#include "relay/tunnel/tunnel.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/log.h"
#include "proto/base/secret.h"
#include "relay/front/exchange.h"
#include "relay/tunnel/tunnel_internal.h"
#include "relay/worker.h"

/* How often liveness is looked at. */
#define TICK_MS 1000
void tunnel_mark_dirty(struct tunnel *t)
{
    if (!t->dirty && t->state != TUNNEL_ENDED) {
        t->dirty = true;
        list_push(&t->worker->dirty_tunnels, &t->dirty_node);
    }
}

void tunnel_doom(struct tunnel *t, uint16_t code, const char *reason)
{
    if (t->doomed == 0) {
        t->doomed = code;
        t->doom_reason = reason;
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
    size_t frame_len = 0;
    uint8_t *bytes = websocket_wrap(payload, len, WEBSOCKET_BINARY, NULL, &frame_len);
    return conn_write(t->conn, bytes, frame_len) == 0;
}

static bool can_send(const struct tunnel *t)
{
    return t->state != TUNNEL_ENDED && conn_pending(t->conn) < TUNNEL_PENDING_BYTES;
}

static void flush(struct tunnel *t)
{
    while (can_send(t) && mux_wants_send(t->mux)) {
        if (!send_message(t)) {
            return;
        }
    }
}

/* ---- the end ---- */

void tunnel_unregister(struct tunnel *t, const char *reason)
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
    }
    (void)worker_broadcast(w->relay, m); /* logged; who asks the tunnel finds that it is gone */
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

/* `code` 0: the connection is gone already. Else a GOAWAY that says why leaves before the close. */
static void end(struct tunnel *t, uint16_t code, const char *reason)
{
    if (t->state == TUNNEL_ENDED) {
        return;
    }
    bool was_up = t->state != TUNNEL_GREETING;
    tunnel_unregister(t, reason); /* first, so that nothing new comes in */
    if (code != 0 && mux_wants_goodbye(t->mux)) {
        flush(t);
    }
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
    if (t->is_counted) {
        peers_disconnect(w->relay->peers, &t->counted);
    }
    free(t->conn);
    free(t);
}

static void end_if_doomed(struct tunnel *t)
{
    if (t->doomed != 0) {
        end(t, t->doomed, t->doom_reason);
    }
}

bool tunnel_flush_dirty(struct worker *w)
{
    struct list *node = NULL;
    struct list waiting;
    list_init(&waiting);
    while ((node = list_pop(&w->dirty_tunnels)) != NULL) {
        struct tunnel *t = LIST_ITEM(node, struct tunnel, dirty_node);
        if (can_send(t) && mux_expects_more(t->mux, worker_now_ms(w))) {
            list_push(&waiting, node);
            continue;
        }
        t->dirty = false;
        flush(t);
    }
    while ((node = list_pop(&waiting)) != NULL) {
        list_push(&w->dirty_tunnels, node);
    }
    return !list_empty(&w->dirty_tunnels);
}

static void on_drain(struct conn *c)
{
    flush(c->user);
}

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
        tunnel_doom(t, WEBSOCKET_CLOSE_PROTOCOL, "pings are not answered any more");
    }
}

static void on_peer_close(void *user, uint16_t code)
{
    (void)code;
    tunnel_doom(user, WEBSOCKET_CLOSE_NORMAL, "closed by the agent");
}

static void feed(struct tunnel *t, const uint8_t *bytes, size_t len)
{
    t->feeding = true;
    int err = websocket_feed(t->websocket, bytes, len);
    t->feeding = false;
    exchange_flush_assembled(t->worker);
    if (mux_fault(t->mux) != MUX_FAULT_NONE) {
        enum mux_fault fault = mux_fault(t->mux);
        tunnel_doom(t, (uint16_t)(WEBSOCKET_CLOSE_FAULT + (unsigned)fault), mux_fault_name(fault));
    } else if (err > 0) {
        tunnel_doom(t, (uint16_t)err,
                    err == WEBSOCKET_CLOSE_INTERNAL ? "out of memory"
                                                    : "broke the websocket protocol");
    }
    if (t->state == TUNNEL_RETIRING && mux_n_streams(t->mux) == 0) {
        tunnel_doom(t, WEBSOCKET_CLOSE_GOING_AWAY, "drained");
    }
    tunnel_mark_dirty(t);
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
    tunnel_tick_probe(t, now_ms);
    if (mux_tick(t->mux, now_ms) < 0) {
        enum mux_fault fault = mux_fault(t->mux);
        tunnel_doom(t, (uint16_t)(WEBSOCKET_CLOSE_FAULT + (unsigned)fault), mux_fault_name(fault));
    }
    if (t->state == TUNNEL_RETIRING && (mux_n_streams(t->mux) == 0 || now_ms >= t->retire_by_ms)) {
        tunnel_doom(t, WEBSOCKET_CLOSE_GOING_AWAY, "drained");
    }
    tunnel_mark_dirty(t);
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
    return mux_new(&s, &tunnel_mux_events, t, worker_now_ms(w));
}

static int make_parts(struct tunnel *t)
{
    static const struct websocket_callbacks callbacks = {on_bytes, on_message_end, on_ping,
                                                         on_peer_close};
    t->websocket = websocket_new(WEBSOCKET_SERVER, &callbacks, t, &t->worker->spare_parser);
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
                const struct peer_address *counted, const char *address, struct span rest)
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
    t->is_counted = counted != NULL;
    t->counted = counted != NULL ? *counted : t->counted;
    memcpy(t->serial, server->serial, sizeof(t->serial));
    memcpy(t->token_hash, server->token_hash, sizeof(t->token_hash));
    (void)span_copy(span_of(address), t->address, sizeof(t->address));
    list_init(&t->dirty_node);
    wheel_timer_init(&t->tick, on_tick);
    if (make_parts(t) < 0) {
        goto fail;
    }
    list_push(&w->tunnels, &t->node);
    conn_take_over(conn, &conn_callbacks, t);
    conn_repeat(conn);
    wheel_set(&w->wheel, &t->tick, t->opened_ms + TICK_MS);
    metrics_add(&w->metrics.tunnels_open, 1);
    tunnel_mark_dirty(t);
    if (rest.len > 0) {
        feed(t, (const uint8_t *)rest.p, rest.len);
    }
    return 0;

fail:
    if (counted != NULL) {
        peers_disconnect(w->relay->peers, counted);
    }
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
    int err = mux_request(t->mux, head, body.p, tunnel_pointer_of(exchange), stream,
                          worker_now_ms(t->worker));
    tunnel_mark_dirty(t);
    return err;
}

void tunnel_reset(struct tunnel *t, uint32_t stream, enum head_reset reason)
{
    if (reason == HEAD_RESET_DEADLINE) {
        probe_suspect(&t->probe, worker_now_ms(t->worker));
    }
    mux_reset(t->mux, stream, reason, HEAD_DELIVERED_UNKNOWN);
    tunnel_mark_dirty(t);
}

void tunnel_consumed(struct tunnel *t, uint32_t stream, size_t len)
{
    mux_consume(t->mux, stream, len);
    tunnel_mark_dirty(t);
}

void tunnel_control_reply(struct tunnel *t, uint32_t call, uint16_t status, struct span body)
{
    (void)mux_control_reply(t->mux, call, status, body);
    tunnel_mark_dirty(t);
}

void tunnel_retire(struct tunnel *t, enum head_goaway reason, bool at_once, uint32_t limit_ms)
{
    if (t->state == TUNNEL_ENDED || (t->retiring && !at_once)) {
        return;
    }
    t->retiring = true;
    tunnel_unregister(t, head_goaway_name(reason));
    if (t->state != TUNNEL_GREETING) {
        t->state = TUNNEL_RETIRING;
    }
    mux_goaway(t->mux, reason, 0);
    t->retire_by_ms = worker_now_ms(t->worker) + limit_ms;
    if (at_once) {
        flush(t);
        tunnel_doom(t, WEBSOCKET_CLOSE_GOING_AWAY, head_goaway_name(reason));
        if (!t->feeding) {
            end_if_doomed(t);
        }
        return;
    }
    tunnel_mark_dirty(t);
}

void tunnel_replace(struct tunnel *t)
{
    t->state =
        t->state == TUNNEL_UP ? TUNNEL_RETIRING : t->state; /* not in the registry any more */
    t->replaced = true;
    tunnel_retire(t, HEAD_GOAWAY_REPLACED, false, TUNNEL_REPLACED_MS);
}

const char *tunnel_objection(const struct tunnel *t, enum head_goaway *goaway)
{
    const struct directory_server *server = directory_find_server(t->worker->reader, t->server);
    *goaway = HEAD_GOAWAY_DISABLED;
    if (server == NULL || !server->enabled) {
        return "server disabled";
    }
    *goaway = HEAD_GOAWAY_SHUTDOWN; /* it comes back, and is told that its token is wrong */
    bool same = secret_equal(server->token_hash, t->token_hash, sizeof(t->token_hash));
    return same ? NULL : "token renewed";
}

void tunnel_check_server(struct worker *w, int64_t server)
{
    /* All of them, for one that is being replaced or has not said HELLO is in no registry. */
    struct list *node = w->tunnels.next;
    while (node != &w->tunnels) {
        struct tunnel *t = tunnel_of(node);
        node = node->next;
        enum head_goaway goaway = HEAD_GOAWAY_DISABLED;
        bool concerned = t->server == server || server == TUNNEL_ANY_SERVER;
        const char *objection = concerned ? tunnel_objection(t, &goaway) : NULL;
        if (objection != NULL && t->state != TUNNEL_ENDED) {
            log_event(LOG_LEVEL_INFO, "tunnel is ended", log_text("serial", t->serial),
                      log_uint("tunnel", t->number), log_text("reason", objection));
            tunnel_retire(t, goaway, true, 0);
        }
    }
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
