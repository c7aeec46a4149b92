/* SPDX-License-Identifier: Apache-2.0 */
/* One client's connection.
 *
 * Bytes go through `process`, which feeds the request and acts on each step: head complete ->
 * admission (key, limits, path); request complete -> the exchange, or the relay's own answer. While
 * an answer is awaited, further bytes wait in `rest`, and reading stops when that is full.
 * After session_done the loop in `process` goes on with the next request; a session whose answer
 * came later is put on worker->ready_sessions and goes on at the end of the turn. So no depth of
 * pipelining becomes a depth of the stack, and no pipelining client keeps others waiting.
 *
 * One deadline at a time: handshake, idle, head, body. While an exchange runs, the deadline is its
 * own. Every way out ends in conn_close or conn_finish, and then in on_closed. */
#include "relay/front/session.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "relay/front/access.h"
#include "relay/front/admission.h"
#include "relay/front/exchange.h"
#include "relay/front/redirect.h"
#include "relay/front/sender.h"
#include "relay/front/session_internal.h"
#include "relay/tunnel/tunnel.h"
#include "relay/worker.h"

#define CONTINUE_TEXT "HTTP/1.1 100 Continue\r\n\r\n"

void session_set_deadline(struct session *s, uint32_t ms)
{
    wheel_set(&s->worker->wheel, &s->deadline, worker_now_ms(s->worker) + ms);
}

/* ---- requests come and go ---- */

static struct request *take_request(struct worker *w)
{
    if (w->n_spare_requests > 0) {
        return w->spare_requests[--w->n_spare_requests];
    }
    struct request *r = malloc(sizeof(*r));
    if (r != NULL) {
        request_init(r);
    }
    return r;
}

void session_give_request(struct session *s)
{
    struct worker *w = s->worker;
    struct request *r = s->request;
    s->request = NULL;
    if (r == NULL) {
        return;
    }
    if (w->n_spare_requests < WORKER_SPARE_REQUESTS) {
        request_reset(r);
        w->spare_requests[w->n_spare_requests++] = r;
        return;
    }
    request_close(r);
    free(r);
}

static void generate_id(struct session *s)
{
    struct worker *w = s->worker;
    static const char digits[] = "0123456789abcdef";
    uint64_t id = w->request_prefix + w->n_request_ids++;
    for (int i = SESSION_ID_BYTES - 2; i >= 0; i--) {
        s->id[i] = digits[id & 0xf];
        id >>= 4;
    }
    s->id[SESSION_ID_BYTES - 1] = '\0';
}

struct span session_request_id(struct session *s)
{
    if (s->request != NULL && s->request->id.len > 0) {
        return s->request->id;
    }
    if (s->id[0] == '\0') {
        generate_id(s);
    }
    return (struct span){s->id, SESSION_ID_BYTES - 1};
}

static int begin_request(struct session *s)
{
    s->request = take_request(s->worker);
    if (s->request == NULL) {
        return ERROR_NOMEM;
    }
    s->request_us = clock_now_us();
    s->id[0] = '\0';
    s->key = 0;
    s->server = 0;
    s->serial[0] = '\0';
    s->admitted = false;
    s->forward_path = (struct span){NULL, 0};
    sender_begin_request(s);
    memset(&s->result, 0, sizeof(s->result));
    s->n_requests++;
    s->state = SESSION_HEAD;
    session_set_deadline(s, s->worker->settings.head_ms);
    return 0;
}

/* ---- answers ---- */

struct answer_context session_answer_context(struct session *s)
{
    const struct request *r = s->request;
    bool parsed = r != NULL && r->state == REQUEST_COMPLETE;
    bool keep = parsed && r->keep_alive && !s->close_after && !s->input_ended &&
                s->n_requests < SESSION_REQUESTS_MAX && !s->worker->draining;
    s->close_after = !keep;
    return (struct answer_context){
        .request_id = session_request_id(s),
        .date = access_http_date(s->worker),
        .keep_alive = keep,
        .head_only = r != NULL && r->method == REQUEST_HEAD,
        .is_tls = s->is_tls,
        .minor = parsed ? r->minor : 1,
    };
}

int session_write(struct session *s, const void *bytes, size_t len)
{
    int err = conn_write(s->conn, bytes, len);
    if (err == 0) {
        s->result.bytes += len;
        metrics_add(&s->worker->metrics.bytes_to_clients, len);
    }
    return err;
}

size_t session_pending(const struct session *s)
{
    return conn_pending(s->conn);
}

void session_begin_answer(struct session *s, unsigned status)
{
    s->result.status = status;
    s->state = SESSION_ANSWERING;
}

static void end_connection(struct session *s)
{
    s->state = SESSION_ENDING;
    wheel_cancel(&s->deadline);
    session_give_request(s);
    conn_finish(s->conn);
}

/* The client does not take its answers: no further request of its is looked at until it does. */
static bool is_behind(const struct session *s)
{
    return conn_pending(s->conn) >= EXCHANGE_PENDING_BYTES;
}

static void go_idle(struct session *s)
{
    session_give_request(s);
    s->state = SESSION_IDLE;
    if (is_behind(s)) {
        conn_pause(s->conn);
        session_set_deadline(s, s->worker->settings.write_ms);
        return;
    }
    session_set_deadline(s, s->worker->settings.idle_ms);
    if (s->rest.len == 0) {
        conn_resume(s->conn);
    }
}

/* Of callers, not of strangers. */
static void sample_distance(const struct session *s)
{
    struct worker *w = s->worker;
    uint64_t now_ms = worker_now_ms(w);
    if (s->key != 0 && client_rtt_is_due(&w->client_rtt, now_ms)) {
        client_rtt_note(&w->client_rtt, conn_rtt_us(s->conn), now_ms);
    }
}

void session_done(struct session *s)
{
    access_log(s);
    metrics_count_answer(&s->worker->metrics, s->result.status, s->result.total_us);
    sample_distance(s);
    if (s->close_after) {
        end_connection(s);
        return;
    }
    go_idle(s);
    if (!s->processing && s->rest.len > 0 && !is_behind(s) && list_alone(&s->ready)) {
        list_push(&s->worker->ready_sessions, &s->ready);
    }
}

void session_answer(struct session *s, enum answer_reason reason, const struct answer_details *d)
{
    struct worker *w = s->worker;
    struct answer_context c = session_answer_context(s);
    s->result.status = answer_status(reason);
    s->result.reason = answer_word(reason);
    buffer_clear(&w->scratch);
    if (answer_format(&w->scratch, &c, reason, d) < 0 ||
        session_write(s, buffer_bytes(&w->scratch), w->scratch.len) < 0) {
        s->close_after = true;
    }
    session_done(s);
}

void session_cut(struct session *s, enum answer_reason reason)
{
    s->result.reason = answer_word(reason);
    s->result.cut = true;
    access_log(s);
    metrics_count_answer(&s->worker->metrics, s->result.status, s->result.total_us);
    s->state = SESSION_ENDING;
    wheel_cancel(&s->deadline);
    conn_abort(s->conn);
}

void session_lost(struct session *s)
{
    if (s->state == SESSION_ENDING) {
        return;
    }
    if (s->exchange != NULL) {
        exchange_cancel(s->exchange);
        s->result.status = 499; /* as nginx logs a client that went away */
        s->result.reason = "client_gone";
        access_log(s);
    }
    s->state = SESSION_ENDING;
    wheel_cancel(&s->deadline);
    conn_close(s->conn);
}

/* ---- steps of a request ---- */

static void refuse(struct session *s)
{
    struct request *r = s->request;
    struct answer_details d = {.delivered = HEAD_DELIVERED_NO, .why = r->why};
    s->close_after = true;
    switch (r->refusal) {
    case REQUEST_BODY_TOO_LARGE: session_answer(s, ANSWER_BODY_TOO_LARGE, &d); return;
    case REQUEST_LINE_TOO_LARGE: session_answer(s, ANSWER_LINE_TOO_LARGE, &d); return;
    case REQUEST_HEAD_TOO_LARGE: session_answer(s, ANSWER_HEAD_TOO_LARGE, &d); return;
    case REQUEST_EXPECTATION: session_answer(s, ANSWER_EXPECTATION_FAILED, &d); return;
    case REQUEST_BAD:
    case REQUEST_OK:
    default: session_answer(s, ANSWER_BAD_REQUEST, &d); return;
    }
}

/* The head is complete: is the request wanted at all? Answers it if not (the rest of its body is
 * then not waited for). */
static bool admit(struct session *s)
{
    if (s->admitted) {
        return true;
    }
    s->admitted = true;
    sender_find_client(s);
    return s->is_redirect ? redirect_answer(s) : admission_admit(s);
}

static void begin_body(struct session *s, bool more_is_here)
{
    s->state = SESSION_BODY;
    session_set_deadline(s, s->worker->settings.body_ms);
    if (s->request->expects_continue && !more_is_here) {
        (void)conn_write(s->conn, CONTINUE_TEXT, sizeof(CONTINUE_TEXT) - 1);
    }
}

static void complete_request(struct session *s)
{
    s->state = SESSION_WAITING;
    wheel_cancel(&s->deadline);
    admission_dispatch(s);
}

/* Acts on the request's state after it was fed. */
static void step(struct session *s, bool more_is_here)
{
    switch (s->request->state) {
    case REQUEST_REFUSED: refuse(s); return;
    case REQUEST_BODY:
        if (s->state == SESSION_HEAD && admit(s)) {
            begin_body(s, more_is_here);
        }
        return;
    case REQUEST_COMPLETE:
        if (admit(s)) {
            complete_request(s);
        }
        return;
    case REQUEST_LINE:
    case REQUEST_FIELDS:
    default: return;
    }
}

static bool wants_bytes(const struct session *s)
{
    return s->state == SESSION_IDLE || s->state == SESSION_HEAD || s->state == SESSION_BODY;
}

/* Bytes that cannot be looked at yet. */
void session_keep_rest(struct session *s, const uint8_t *bytes, size_t len)
{
    conn_pause(s->conn);
    if (buffer_append(&s->rest, bytes, len) < 0) {
        session_lost(s);
    }
}

/* Gives the connection and what was read behind the request to a tunnel, and is gone. */
static void become_tunnel(struct session *s, struct span rest)
{
    struct worker *w = s->worker;
    const struct directory_server *server = directory_find_server(w->reader, s->server);
    if (server == NULL) {
        session_lost(s);
        return;
    }
    char address[SESSION_ADDRESS_BYTES];
    /* Fits; a copy, for the session goes. */
    (void)span_copy(span_of(session_address(s)), address, sizeof(address));
    struct conn *c = s->conn;
    struct peer_address counted = s->counted;
    bool is_counted = s->is_counted;
    s->is_counted = false; /* the tunnel's from here on */
    session_forget(s);
    conn_resume(c); /* paused if the upgrade came while an earlier request was answered */
    (void)tunnel_open(w, c, server, is_counted ? &counted : NULL, address, rest);
}

void session_process(struct session *s, const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    s->processing = true;
    while (at < len && wants_bytes(s) && !(s->state == SESSION_IDLE && is_behind(s))) {
        if (s->state == SESSION_IDLE && begin_request(s) < 0) {
            session_lost(s);
            break;
        }
        size_t used = 0;
        request_feed(s->request, bytes + at, len - at, &used);
        at += used;
        step(s, at < len);
    }
    s->processing = false;
    if (s->state == SESSION_UPGRADED) {
        become_tunnel(s, (struct span){(const char *)bytes + at, len - at});
        return;
    }
    bool behind = s->state == SESSION_IDLE && is_behind(s);
    bool waiting = s->state == SESSION_WAITING || s->state == SESSION_ANSWERING || behind;
    if (at < len && waiting) {
        session_keep_rest(s, bytes + at, len - at);
    }
    if (wants_bytes(s) && !behind && s->rest.len == 0) {
        conn_resume(s->conn);
    }
    if (s->input_ended && wants_bytes(s)) {
        session_lost(s);
    }
}

/* Looks at what was read while the last answer was awaited. */
static void process_rest(struct session *s)
{
    struct buffer waiting = s->rest;
    buffer_init(&s->rest, SESSION_REST_BYTES_MAX);
    session_process(s, buffer_bytes(&waiting), waiting.len);
    buffer_close(&waiting);
}

void session_process_ready(struct worker *w)
{
    struct list *node = NULL;
    while ((node = list_pop(&w->ready_sessions)) != NULL) {
        struct session *s = LIST_ITEM(node, struct session, ready);
        if (s->state == SESSION_IDLE) {
            process_rest(s);
        }
    }
}
