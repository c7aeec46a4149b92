/* SPDX-License-Identifier: Apache-2.0 */
/* One request on its way to a building and back.
 *
 * Happy path: exchange_start -> router_request -> (HANDED) -> head -> data ... end -> session_done.
 * Head and data are put together in worker->answer and written once per batch of the tunnel's
 * bytes.
 *
 * A request is sent at most once. It may go to a second tunnel only if the first did not take it
 * (ROUTER_NO_TUNNEL) or says that it never left the relay (TUNNEL_LOST, delivered NO); then it is
 * parked until a tunnel comes or its time is up. */
#include "relay/front/exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "proto/http/field.h"
#include "relay/front/session.h"
#include "relay/router.h"
#include "relay/worker.h"

static struct exchange *find(const struct worker *w, exchange_ref ref)
{
    return exchange_table_find(&w->exchanges, ref);
}

static uint64_t now_ms(const struct exchange *x)
{
    return worker_now_ms(x->worker);
}

/* Takes it out of everything and frees it. Its session has no exchange afterwards. */
static void release(struct exchange *x)
{
    struct worker *w = x->worker;
    if (w->assembling == x) {
        w->assembling = NULL;
        buffer_clear(&w->answer);
    }
    if (!list_alone(&x->parked)) {
        list_remove(&x->parked);
        w->n_parked--;
    }
    wheel_cancel(&x->deadline);
    exchange_table_remove(&w->exchanges, x->ref);
    x->session->exchange = NULL;
    free(x);
}

/* The tunnel's stream is of no use any more. */
static void reset_stream(struct exchange *x, enum head_reset reason)
{
    if (x->state == EXCHANGE_SENT || x->state == EXCHANGE_ANSWERING) {
        router_reset(x->worker, x->tunnel, x->stream, reason);
    }
}

static void remember_for_log(struct exchange *x)
{
    struct session_result *r = &x->session->result;
    r->server_us = x->server_us;
    r->agent_us = x->sent_us != 0 ? clock_now_us() - x->sent_us : 0;
    r->queued_us = x->sent_us != 0 ? x->sent_us - x->started_us : 0;
}

/* Ends without the building's answer: the relay's own one goes out. */
static void fail(struct exchange *x, enum answer_reason reason, enum head_delivered delivered)
{
    struct session *s = x->session;
    struct answer_details d = {.delivered = delivered};
    if (answer_status(reason) == 503) {
        d.retry_after_s = ANSWER_RETRY_S;
    }
    bool cut = x->state == EXCHANGE_ANSWERING;
    remember_for_log(x);
    if (x->worker->assembling == x && cut) {
        /* The head is not yet written: nothing of this answer has reached the client. */
        cut = s->result.bytes > 0;
    }
    release(x);
    if (cut) {
        session_cut(s, reason);
    } else {
        session_answer(s, reason, &d);
    }
}

/* ---- the way out ---- */

static bool method_of(enum request_method method, enum head_method *m)
{
    switch (method) {
    case REQUEST_GET: *m = HEAD_METHOD_GET; return true;
    case REQUEST_HEAD: *m = HEAD_METHOD_HEAD; return true;
    case REQUEST_POST: *m = HEAD_METHOD_POST; return true;
    case REQUEST_OTHER:
    default: return false;
    }
}

/* Fields that a Connection field of the request names belong to the connection too. */
static bool connection_names(const struct request *r, struct span name)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        if (span_equal_nocase(r->fields[i].name, span_of("Connection")) &&
            field_connection_lists(r->fields[i].value, name)) {
            return true;
        }
    }
    return false;
}

static size_t forwarded_fields(const struct request *r, struct head_field *fields)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_fields; i++) {
        struct span name = r->fields[i].name;
        if (!field_is_hop_by_hop(name) && !field_is_private(name) && !connection_names(r, name)) {
            fields[n++] = (struct head_field){name, r->fields[i].value};
        }
    }
    return n;
}

/* What the agent may take, a little less than what is left to us. */
static uint32_t agent_deadline_ms(const struct exchange *x)
{
    uint64_t left_ms = x->answer_by_ms > now_ms(x) ? x->answer_by_ms - now_ms(x) : 0;
    return left_ms > EXCHANGE_MARGIN_MS + EXCHANGE_MARGIN_MS
               ? (uint32_t)left_ms - EXCHANGE_MARGIN_MS
               : EXCHANGE_MARGIN_MS;
}

static enum router_result route(struct exchange *x)
{
    static _Thread_local struct head_field fields[REQUEST_FIELDS_MAX];
    struct session *s = x->session;
    const struct request *r = s->request;
    struct head_request head = {
        .has_query = r->has_query,
        .deadline_ms = agent_deadline_ms(x),
        .body_bytes = (uint32_t)r->body.len,
        .path = s->forward_path,
        .query = r->query,
        .request_id = session_request_id(s),
        .fields = fields,
        .n_fields = forwarded_fields(r, fields),
    };
    if (!method_of(r->method, &head.method)) {
        return ROUTER_FAILED;
    }
    struct span body = {(const char *)buffer_bytes(&r->body), r->body.len};
    return router_request(x->worker, x->server, x->ref, &head, body, &x->tunnel, &x->stream);
}

static bool may_park(const struct exchange *x)
{
    const struct worker *w = x->worker;
    return !w->draining && w->n_parked < w->settings.parked && w->settings.offline_grace_ms > 0 &&
           registry_is_expected(&w->registry, x->server, now_ms(x));
}

static void park(struct exchange *x)
{
    struct worker *w = x->worker;
    if (!may_park(x)) {
        fail(x, ANSWER_SERVER_OFFLINE, HEAD_DELIVERED_NO);
        return;
    }
    x->state = EXCHANGE_PARKED;
    list_push(&w->parked, &x->parked);
    w->n_parked++;
    metrics_add(&w->metrics.parked, 1);
    uint64_t due_ms = now_ms(x) + w->settings.offline_grace_ms;
    wheel_set(&w->wheel, &x->deadline, due_ms < x->answer_by_ms ? due_ms : x->answer_by_ms);
}

static void dispatch(struct exchange *x)
{
    switch (route(x)) {
    case ROUTER_OPENED: x->state = EXCHANGE_SENT; break;
    case ROUTER_HANDED_ON: x->state = EXCHANGE_OPENING; break;
    case ROUTER_NO_TUNNEL: park(x); return;
    case ROUTER_FULL: fail(x, ANSWER_OVERLOADED, HEAD_DELIVERED_NO); return;
    case ROUTER_FAILED:
    default: fail(x, ANSWER_INTERNAL, HEAD_DELIVERED_NO); return;
    }
    x->sent_us = clock_now_us();
    wheel_set(&x->worker->wheel, &x->deadline, x->answer_by_ms);
}

void exchange_unpark(struct worker *w, int64_t server)
{
    struct list waiting;
    list_init(&waiting);
    struct list *node = NULL;
    while ((node = list_pop(&w->parked)) != NULL) {
        list_push(&waiting, node);
    }
    while ((node = list_pop(&waiting)) != NULL) {
        struct exchange *x = LIST_ITEM(node, struct exchange, parked);
        if (x->server != server) {
            list_push(&w->parked, node);
            continue;
        }
        w->n_parked--;
        if (session_still_allowed(x->session)) {
            dispatch(x);
        } else {
            fail(x, ANSWER_KEY_REFUSED, HEAD_DELIVERED_NO);
        }
    }
}

/* ---- deadlines ---- */

static enum head_delivered known_delivery(const struct exchange *x)
{
    return x->handed ? HEAD_DELIVERED_YES : HEAD_DELIVERED_UNKNOWN;
}

static void on_deadline(struct wheel_timer *t)
{
    struct exchange *x = LIST_ITEM(t, struct exchange, deadline);
    if (x->half_closed) {
        session_lost(x->session);
        return;
    }
    switch (x->state) {
    case EXCHANGE_PARKED: fail(x, ANSWER_SERVER_OFFLINE, HEAD_DELIVERED_NO); return;
    case EXCHANGE_OPENING:
    case EXCHANGE_SENT:
        reset_stream(x, HEAD_RESET_DEADLINE);
        fail(x, ANSWER_SERVER_TIMEOUT, known_delivery(x));
        return;
    case EXCHANGE_ANSWERING:
    default:
        reset_stream(x, HEAD_RESET_CLIENT_GONE);
        fail(x, ANSWER_CLIENT_TIMEOUT, HEAD_DELIVERED_YES);
        return;
    }
}

void exchange_half_close(struct exchange *x)
{
    uint64_t due_ms = now_ms(x) + EXCHANGE_HALF_CLOSED_MS;
    if (x->state == EXCHANGE_ANSWERING || x->deadline.due_ms <= due_ms) {
        return;
    }
    x->half_closed = true;
    wheel_set(&x->worker->wheel, &x->deadline, due_ms);
}

/* While an answer runs, what counts is that it goes on. */
static void restart_write_deadline(struct exchange *x)
{
    wheel_set(&x->worker->wheel, &x->deadline, now_ms(x) + x->worker->settings.write_ms);
}

/* ---- the way back ---- */

static void write_assembled(struct exchange *x)
{
    struct worker *w = x->worker;
    w->assembling = NULL;
    if (w->answer.len == 0) {
        return;
    }
    int err = session_write(x->session, buffer_bytes(&w->answer), w->answer.len);
    buffer_clear(&w->answer);
    if (err < 0) {
        session_lost(x->session);
    }
}

void exchange_flush_assembled(struct worker *w)
{
    if (w->assembling != NULL) {
        write_assembled(w->assembling);
    }
}

/* worker->answer belongs to `x` from here on. */
static void assemble_for(struct exchange *x)
{
    struct worker *w = x->worker;
    if (w->assembling != x) {
        exchange_flush_assembled(w);
        buffer_clear(&w->answer);
        w->assembling = x;
    }
}

static void complete(struct exchange *x)
{
    struct session *s = x->session;
    exchange_ref ref = x->ref;
    struct worker *w = x->worker;
    write_assembled(x);
    if (find(w, ref) == NULL) {
        return; /* the client turned out to be gone */
    }
    remember_for_log(x);
    release(x);
    session_done(s);
}

static enum answer_framing framing_of(const struct exchange *x, const struct head_response *head)
{
    const struct request *r = x->session->request;
    if (r->method == REQUEST_HEAD || head->status == 204 || head->status == 304) {
        return ANSWER_NO_BODY;
    }
    if (head->body_bytes >= 0) {
        return ANSWER_LENGTH;
    }
    return r->minor == 0 ? ANSWER_CLOSE : ANSWER_CHUNKED;
}

static void begin_answer(struct exchange *x, const struct head_response *head)
{
    struct worker *w = x->worker;
    x->state = EXCHANGE_ANSWERING;
    x->handed = true;
    x->half_closed = false;
    x->status = head->status;
    x->server_us = head->server_us;
    x->framing = framing_of(x, head);
    x->body_left = x->framing == ANSWER_LENGTH ? head->body_bytes : 0;
    if (x->framing == ANSWER_CLOSE) {
        x->session->request->keep_alive = false;
    }
    session_begin_answer(x->session, head->status);
    struct answer_context c = session_answer_context(x->session);
    assemble_for(x);
    if (answer_format_head(&w->answer, &c, head, x->framing) < 0) {
        buffer_clear(&w->answer);
        reset_stream(x, HEAD_RESET_BAD_ANSWER);
        fail(x, ANSWER_BAD_ANSWER, HEAD_DELIVERED_YES);
        return;
    }
    restart_write_deadline(x);
}

void exchange_on_opened(struct worker *w, exchange_ref ref, tunnel_ref tunnel, uint32_t stream)
{
    struct exchange *x = find(w, ref);
    if (x == NULL) {
        router_reset(w, tunnel, stream, HEAD_RESET_CLIENT_GONE);
        return;
    }
    x->state = EXCHANGE_SENT;
    x->tunnel = tunnel;
    x->stream = stream;
}

void exchange_on_handed(struct worker *w, exchange_ref ref)
{
    struct exchange *x = find(w, ref);
    if (x != NULL) {
        x->handed = true;
    }
}

void exchange_on_head(struct worker *w, exchange_ref ref, const struct head_response *head,
                      bool end)
{
    struct exchange *x = find(w, ref);
    if (x == NULL || x->state == EXCHANGE_ANSWERING) {
        return;
    }
    begin_answer(x, head);
    if (end) {
        exchange_on_data(w, ref, 0, 0, NULL, 0, true);
    }
}

static int append_chunk(struct buffer *out, const uint8_t *bytes, size_t len, bool end)
{
    char line[20];
    int err = 0;
    if (len > 0) {
        int line_len = snprintf(line, sizeof(line), "%zx\r\n", len);
        err = buffer_append(out, line, (size_t)line_len);
        err = err == 0 ? buffer_append(out, bytes, len) : err;
        err = err == 0 ? buffer_append(out, "\r\n", 2) : err;
    }
    return err == 0 && end ? buffer_append(out, "0\r\n\r\n", 5) : err;
}

/* The body in the framing that the head announced. ERROR_PEER if it does not fit that. */
static int append_body(struct exchange *x, const uint8_t *bytes, size_t len, bool end)
{
    struct buffer *out = &x->worker->answer;
    switch (x->framing) {
    case ANSWER_CHUNKED: return append_chunk(out, bytes, len, end);
    case ANSWER_NO_BODY: return 0;
    case ANSWER_LENGTH:
        if ((uint64_t)len > (uint64_t)x->body_left) {
            return ERROR_PEER;
        }
        x->body_left -= (int64_t)len;
        if (end && x->body_left > 0) {
            return ERROR_PEER;
        }
        break;
    case ANSWER_CLOSE:
    default: break;
    }
    return len > 0 ? buffer_append(out, bytes, len) : 0;
}

/* Gives the tunnel its credit back, unless the client is behind: then exchange_on_drain does. */
static void return_credit(struct exchange *x)
{
    if (x->unreturned > 0 && session_pending(x->session) < EXCHANGE_PENDING_BYTES) {
        router_consumed(x->worker, x->tunnel, x->stream, x->unreturned);
        x->unreturned = 0;
    }
}

void exchange_on_data(struct worker *w, exchange_ref ref, tunnel_ref tunnel, uint32_t stream,
                      const uint8_t *bytes, size_t len, bool end)
{
    struct exchange *x = find(w, ref);
    if (x == NULL || x->state != EXCHANGE_ANSWERING) {
        if (len > 0) {
            router_consumed(w, tunnel, stream, len);
        }
        return;
    }
    assemble_for(x);
    if (append_body(x, bytes, len, end) < 0) {
        reset_stream(x, HEAD_RESET_BAD_ANSWER);
        fail(x, ANSWER_BAD_ANSWER, HEAD_DELIVERED_YES);
        return;
    }
    x->unreturned += len;
    if (end) {
        if (x->unreturned > 0) {
            router_consumed(w, tunnel, stream, x->unreturned);
        }
        complete(x);
        return;
    }
    restart_write_deadline(x);
    if (w->answer.len >= EXCHANGE_ASSEMBLED_BYTES) {
        write_assembled(x);
        x = find(w, ref);
    }
    if (x != NULL) {
        return_credit(x);
    }
}

void exchange_on_drain(struct exchange *x)
{
    restart_write_deadline(x);
    return_credit(x);
}

static enum answer_reason reason_of(enum head_reset reason)
{
    switch (reason) {
    case HEAD_RESET_DEADLINE: return ANSWER_SERVER_TIMEOUT;
    case HEAD_RESET_SERVER_UNREACHABLE: return ANSWER_SERVER_UNREACHABLE;
    case HEAD_RESET_BAD_ANSWER: return ANSWER_BAD_ANSWER;
    case HEAD_RESET_OVERLOADED: return ANSWER_OVERLOADED;
    case HEAD_RESET_REFUSED: return ANSWER_AGENT_REFUSED;
    case HEAD_RESET_SHUTDOWN: return ANSWER_SERVER_OFFLINE;
    case HEAD_RESET_SERVER_AUTH: return ANSWER_SERVER_AUTH;
    case HEAD_RESET_TUNNEL_LOST: return ANSWER_TUNNEL_LOST;
    case HEAD_RESET_INTERNAL:
    case HEAD_RESET_CLIENT_GONE:
    default: return ANSWER_INTERNAL;
    }
}

void exchange_on_failed(struct worker *w, exchange_ref ref, enum head_reset reason,
                        enum head_delivered delivered)
{
    struct exchange *x = find(w, ref);
    if (x == NULL) {
        return;
    }
    bool never_left = reason == HEAD_RESET_TUNNEL_LOST && delivered == HEAD_DELIVERED_NO;
    if (never_left && x->state != EXCHANGE_ANSWERING) {
        x->state = EXCHANGE_PARKED;
        dispatch(x); /* to a newer tunnel if there is one, else it is parked */
        return;
    }
    x->handed = x->handed || delivered == HEAD_DELIVERED_YES;
    fail(x, reason_of(reason), delivered);
}

/* ---- life ---- */

int exchange_start(struct session *s, int64_t key, int64_t server, bool with_feedback)
{
    struct worker *w = s->worker;
    struct exchange *x = calloc(1, sizeof(*x));
    if (x == NULL) {
        return ERROR_NOMEM;
    }
    int err = exchange_table_add(&w->exchanges, x, &x->ref);
    if (err < 0) {
        free(x);
        return err;
    }
    x->worker = w;
    x->session = s;
    x->key = key;
    x->server = server;
    x->started_us = s->request_us;
    x->answer_by_ms = worker_now_ms(w) +
                      (with_feedback ? w->settings.server_fb_ms : w->settings.server_ms) +
                      EXCHANGE_MARGIN_MS;
    list_init(&x->parked);
    wheel_timer_init(&x->deadline, on_deadline);
    s->exchange = x;
    dispatch(x);
    return 0;
}

void exchange_cancel(struct exchange *x)
{
    metrics_add(&x->worker->metrics.client_gone, 1);
    reset_stream(x, HEAD_RESET_CLIENT_GONE);
    remember_for_log(x);
    release(x);
}
