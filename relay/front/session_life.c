/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection as such: how it begins, what its socket tells, how it ends. What is said on
 * it is in session.c. */
#include "relay/front/session.h"

#include <stdlib.h>
#include <unistd.h>

#include "proto/base/error.h"
#include "relay/front/exchange.h"
#include "relay/front/peers.h"
#include "relay/front/sender.h"
#include "relay/front/session_internal.h"
#include "relay/worker.h"

void session_forget(struct session *s)
{
    struct worker *w = s->worker;
    wheel_cancel(&s->deadline);
    sender_forget(s);
    metrics_subtract(&w->metrics.sessions_open, 1);
    session_give_request(s);
    buffer_close(&s->rest);
    list_remove(&s->node);
    list_remove(&s->ready);
    free(s);
}

static bool on_preamble(struct conn *c, const uint8_t *bytes, size_t len, size_t *used)
{
    struct session *s = c->user;
    switch (sender_read_header(s, bytes, len, used)) {
    case PROXY_MORE: return false;
    case PROXY_COMPLETE: break;
    case PROXY_BAD:
    default: session_lost(s); return false;
    }
    if (!s->is_tls) {
        s->state = SESSION_IDLE;
        session_set_deadline(s, s->worker->settings.head_ms);
    }
    return true;
}

static void on_open(struct conn *c)
{
    struct session *s = c->user;
    metrics_add(&s->worker->metrics.tls_handshakes, 1);
    s->state = SESSION_IDLE;
    session_set_deadline(s, s->worker->settings.head_ms);
}

static void on_read(struct conn *c, const uint8_t *bytes, size_t len)
{
    struct session *s = c->user;
    bool waiting = s->state == SESSION_WAITING || s->state == SESSION_ANSWERING;
    if (waiting || !list_alone(&s->ready)) {
        session_keep_rest(s, bytes, len);
        return;
    }
    session_process(s, bytes, len);
}

/* Ends a session that waits for no answer; what was answered still leaves. */
static void close_gently(struct session *s)
{
    if (s->state != SESSION_ENDING && conn_pending(s->conn) > 0) {
        s->state = SESSION_ENDING;
        wheel_cancel(&s->deadline);
        conn_finish(s->conn);
    } else {
        session_lost(s);
    }
}

static void on_end(struct conn *c, enum conn_end end)
{
    struct session *s = c->user;
    if (end == CONN_END_TLS && s->state == SESSION_HANDSHAKE) {
        metrics_add(&s->worker->metrics.tls_failures, 1);
    }
    bool half = end == CONN_END_CLEAN && s->exchange != NULL;
    if (!half && end == CONN_END_CLEAN) {
        close_gently(s);
        return;
    }
    if (!half) {
        session_lost(s);
        return;
    }
    s->input_ended = true;
    s->close_after = true;
    exchange_half_close(s->exchange);
}

static void on_drain(struct conn *c)
{
    struct session *s = c->user;
    if (s->exchange != NULL) {
        exchange_on_drain(s->exchange);
    } else if (s->state == SESSION_IDLE) {
        session_set_deadline(s, s->worker->settings.idle_ms);
        if (s->rest.len == 0) {
            conn_resume(s->conn);
        } else if (list_alone(&s->ready)) {
            list_push(&s->worker->ready_sessions, &s->ready);
        }
    }
}

static void on_closed(struct conn *c)
{
    struct session *s = c->user;
    session_lost(s);
    atomic_fetch_sub(&s->worker->relay->n_connections, 1);
    free(c);
    session_forget(s);
}

static const struct conn_callbacks callbacks = {
    .on_preamble = on_preamble,
    .on_open = on_open,
    .on_read = on_read,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_closed = on_closed,
};

/* False if there is no request of which a part has come. */
static bool give_up_request(struct session *s)
{
    if (s->state != SESSION_HEAD && s->state != SESSION_BODY) {
        return false;
    }
    struct answer_details d = {.delivered = HEAD_DELIVERED_NO};
    s->close_after = true;
    session_answer(s, ANSWER_CLIENT_TIMEOUT, &d);
    return true;
}

static void on_deadline(struct wheel_timer *t)
{
    struct session *s = LIST_ITEM(t, struct session, deadline);
    if (!give_up_request(s)) {
        session_lost(s);
    }
}

int session_open(struct worker *w, int fd, const struct sockaddr *address,
                 const struct peer_address *peer, bool is_tls, bool is_redirect)
{
    struct session *s = calloc(1, sizeof(*s));
    struct conn *c = malloc(sizeof(*c));
    if (s == NULL || c == NULL) {
        close(fd);
        goto fail;
    }
    s->worker = w;
    s->is_tls = is_tls;
    s->is_redirect = is_redirect;
    s->conn = c;
    bool has_header = sender_init(s, address, peer);
    s->state = is_tls || has_header ? SESSION_HANDSHAKE : SESSION_IDLE;
    buffer_init(&s->rest, SESSION_REST_BYTES_MAX);
    wheel_timer_init(&s->deadline, on_deadline);
    list_init(&s->ready);
    list_push(&w->sessions, &s->node);
    SSL_CTX *tls = is_tls ? tls_server_context(w->tls) : NULL;
    if (conn_open(c, &w->io, fd, tls, &callbacks, s) < 0) {
        list_remove(&s->node);
        goto fail;
    }
    if (has_header) {
        conn_expect_preamble(c);
    }
    session_set_deadline(s, s->state == SESSION_HANDSHAKE ? w->settings.handshake_ms
                                                          : w->settings.head_ms);
    metrics_add(&w->metrics.sessions_open, 1);
    return 0;

fail:
    free(c);
    free(s);
    if (peer != NULL) {
        peers_disconnect(w->relay->peers, peer);
    }
    atomic_fetch_sub(&w->relay->n_connections, 1);
    return ERROR_NOMEM;
}

void session_upgrade(struct session *s)
{
    s->state = SESSION_UPGRADED;
    wheel_cancel(&s->deadline);
}

bool session_still_allowed(struct session *s)
{
    struct directory_reader *reader = s->worker->reader;
    return directory_key_usable(reader, s->key, s->worker->now_s);
}

void session_retire(struct session *s)
{
    if (s->state == SESSION_IDLE || s->state == SESSION_HANDSHAKE) {
        close_gently(s);
    } else {
        s->close_after = true;
    }
}

void session_kill(struct session *s)
{
    if (s->exchange != NULL) {
        exchange_give_up(s->exchange);
    } else if (!give_up_request(s)) {
        close_gently(s);
    }
}
